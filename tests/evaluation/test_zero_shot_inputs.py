"""Zero-shot of inputs that are no pictures, and of models that leave a choice of inputs."""

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from sensorium.data.schema import Column, Schema, make_inputs
from sensorium.encoders.audio_conv import AudioConv, AudioConvConfig
from sensorium.errors import UserError
from sensorium.evaluation.zero_shot import ZeroShot, inputs_of
from sensorium.model import Model
from sensorium.nn.projection import Projection
from tests.evaluation import pairs
from tests.reviews import cells, sensorium


def sounds(folder: Path) -> None:
    """Three tones of a fifth of a second in `folder`."""
    folder.mkdir(parents=True)
    for place, hertz in enumerate((300, 600, 900)):
        with wave.open(str(folder / f"{place}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
            tone = 8000 * np.sin(2 * np.pi * hertz * np.arange(1600) / 8000)
            file.writeframes(tone.astype("<i2").tobytes())


def several() -> Model:
    """A picture, a sound, a caption and a title in one space."""
    made = pairs.model(steps=0)
    torch.manual_seed(0)
    voice = AudioConv.build(AudioConvConfig(), [], {"rate": 8000, "seconds": 0.2}, True)
    encoders = {"photo": made.encoders["photo"], "voice": voice, "caption": made.encoders["caption"]}
    encoders["title"] = made.encoders["caption"]
    kinds = {"photo": "image", "voice": "audio", "caption": "text", "title": "text"}
    columns = [Column(name=name, kind=kind, reason="") for name, kind in kinds.items()]
    projections = {name: Projection(encoder.dim, 16) for name, encoder in encoders.items()}
    schema = Schema(columns=columns, inputs=make_inputs(columns))
    return Model(encoders, projections, temperature=0.1, schema=schema).eval()


def test_sounds_are_sorted_by_a_text_input_of_choice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sounds(Path("sounds"))
    model = several()
    model.save("run")
    command = 'classify run sounds --labels "low,high" --input voice --text title --out found.csv'
    said = sensorium(command)
    assert said.code == 0, said.err
    found = cells("found.csv")
    assert [row["key"] for row in found] == ["0.wav", "1.wav", "2.wav"]
    expected = ZeroShot(model, ["low", "high"], input="voice", text="title").scores(
        [{"voice": f"sounds/{place}.wav"} for place in range(3)]
    )
    assert [float(row["probability"]) for row in found] == pytest.approx(expected.max(axis=1).tolist(), rel=1e-4)
    with open("table.csv", "w", newline="") as file:
        csv.writer(file).writerows([["caption", "voice"], ["red", "sounds/1.wav"], ["", ""]])
    assert sensorium(f"{command.replace(' sounds ', ' table.csv ')}").code == 0
    assert [row["absent"] for row in cells("found.csv")] == ["false", "true"]
    said = sensorium('classify run sounds --labels "low,high" --input caption --text title')
    assert "which lies in tables; give a table with the column 'caption'" in said.err


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (None, None, "2 text inputs (caption, title); say which with --text"),
        (None, "title", "3 other inputs (photo, voice, caption); say which with --input"),
        ("photo", "voice", "the input 'voice' is not: it is of the kind audio"),
        ("caption", "caption", "cannot be classified by itself"),
        ("sound", None, "There is no input 'sound'"),
    ],
)
def test_a_choice_has_to_be_made(name, text, sentence):
    with pytest.raises(UserError) as raised:
        inputs_of(several(), name, text)
    assert sentence in str(raised.value)


def test_a_model_without_texts_knows_no_labels():
    model = several()
    columns = model.schema.columns[:2]
    pictures = Model(
        {name: model.encoders[name] for name in ("photo", "voice")},
        {name: model.projections[name] for name in ("photo", "voice")},
        temperature=0.1, schema=Schema(columns=columns, inputs=make_inputs(columns)),
    )  # fmt: skip
    with pytest.raises(UserError, match="The model has no text input"):
        ZeroShot(pictures, ["a", "b"])
