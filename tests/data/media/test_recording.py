"""Recordings that are read a piece at a time: what holds none, and what is cut short, is an error in a sentence."""

import base64
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from sensorium.data.media.recording import length, read_recording

RATE = 16_000


def wave_bytes(seconds: float) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE, 0, "NONE", ""))
        writer.writeframes(np.full(round(seconds * RATE), 5000, "<i2").tobytes())
    return file.getvalue()


def read(value: object, root: Path) -> int:
    return sum(piece.shape[1] for piece in read_recording(value, root, RATE))


@pytest.mark.parametrize(
    "value",
    [(np.ones(9), 0), (np.ones(9), "x"), (np.ones((2, 2, 2)), RATE), (np.ones(0), RATE), (np.ones(9), np.inf), 7],
)
def test_values_that_are_no_sound(value, tmp_path):
    assert length(value, tmp_path) == 0.0
    with pytest.raises(ValueError, match=r"a sound|holds no sound"):
        read(value, tmp_path)


def test_nothing_has_no_length(tmp_path):
    assert length(None, tmp_path) == 0.0


def test_a_recording_as_text(tmp_path):
    text = base64.b64encode(wave_bytes(2.5)).decode()
    for value in (text, f"data:audio/wav;base64,{text}"):
        assert read(value, tmp_path) == 2.5 * RATE and length(value, tmp_path) == 2.5
    with pytest.raises(ValueError, match="no such file|cannot be read"):
        read("long" * 100 + ".wav", tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(wave_bytes(1.0))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"cannot be read \(Permission denied\)"):
        read("a.wav", tmp_path)


def test_a_wave_cut_short(tmp_path):
    content = wave_bytes(3.0)[:-RATE]
    (tmp_path / "a.wav").write_bytes(content)
    for value in ("a.wav", content):
        with pytest.raises(ValueError, match="cut short"):
            read(value, tmp_path)
