"""The log-mel front end against librosa, an independent implementation."""

import librosa
import numpy as np
import pytest
import torch

from sensorium.nn.spectrogram import FLOOR, LogMel


@pytest.mark.parametrize(
    ("rate", "bands", "window", "hop", "low", "high"),
    [
        (8000, 40, 0.025, 0.01, 0.0, None),
        (8000, 64, 0.032, 0.008, 20.0, 3800.0),
        (16000, 80, 0.025, 0.01, 0.0, None),
        (22050, 64, 0.025, 0.01, 50.0, 8000.0),
        (44100, 128, 0.0232, 0.01, 0.0, None),
    ],
)
def test_agrees_with_librosa(rate, bands, window, hop, low, high):
    time = np.arange(rate) / rate
    chirp = 0.3 * np.sin(2 * np.pi * (200 + 1500 * time) * time)
    samples = (chirp + 0.05 * np.random.default_rng(0).standard_normal(rate)).astype(np.float32)
    front = LogMel(rate, bands, window, hop, low, high)
    expected = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=front.fft, hop_length=front.hop, win_length=front.window,
        center=True, pad_mode="constant", power=2.0, n_mels=bands, fmin=low, fmax=high or rate / 2,
    )  # fmt: skip
    ours = front(torch.from_numpy(samples))
    assert ours.shape == (front.frames(rate), bands)
    np.testing.assert_allclose(ours.numpy(), np.log(np.maximum(expected, FLOOR)).T, atol=1e-4, rtol=1e-4)


def test_a_batch_equals_its_rows():
    samples = torch.randn(3, 4000)
    front = LogMel(8000, 40)
    torch.testing.assert_close(front(samples), torch.stack([front(row) for row in samples]), atol=1e-5, rtol=1e-5)


def test_no_band_is_empty_even_when_they_are_many():
    assert LogMel(8000, 128).filters.any(dim=0).all()


def test_silence_is_the_floor_and_a_tone_is_in_its_band():
    front = LogMel(16000, 64)
    assert torch.equal(front(torch.zeros(16000)), torch.full((101, 64), float(torch.tensor(FLOOR).log())))
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    centres = librosa.mel_frequencies(66, fmin=0, fmax=8000)[1:-1]
    assert int(front(tone)[50].argmax()) == int(np.abs(centres - 1000).argmin())


def test_a_window_too_short_is_refused():
    with pytest.raises(ValueError, match="fewer than two samples"):
        LogMel(8000, 40, window=0.0001)
