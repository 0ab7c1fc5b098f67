"""The cepstrum against librosa, on real voices and on noise."""

import wave

import librosa
import numpy as np
import pytest
import torch

from sensorium.encoders.audio_processor import AudioProcessor, AudioSettings, normalise_cepstrum
from sensorium.nn.mfcc import cepstrum
from sensorium.nn.spectrogram import LogMel

VOICES = ["0_jackson_0", "3_theo_5", "7_nicolas_12", "9_yweweler_3"]


def librosas(samples: np.ndarray, front: LogMel, coefficients: int, bands: int) -> np.ndarray:
    return librosa.feature.mfcc(
        y=samples, sr=front.rate, n_mfcc=coefficients, n_mels=bands, n_fft=front.fft, hop_length=front.hop,
        win_length=front.window, center=True, pad_mode="constant", dct_type=2, norm="ortho",
    ).T  # fmt: skip


def voice(shared, name: str) -> tuple[np.ndarray, int]:
    with wave.open(str(shared / "data" / "spoken_digits" / f"{name}.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        return samples, file.getframerate()


@pytest.mark.parametrize("name", VOICES)
def test_agrees_with_librosa_on_voices(shared, name):
    samples, rate = voice(shared, name)
    front = LogMel(rate, 40)
    ours = cepstrum(front(torch.from_numpy(samples)), 20).numpy()
    assert ours.shape == (front.frames(len(samples)), 20)
    np.testing.assert_allclose(ours, librosas(samples, front, 20, 40), rtol=1e-4, atol=5e-6 * np.abs(ours).max())


@pytest.mark.parametrize(("rate", "bands", "coefficients"), [(8000, 40, 13), (16000, 64, 64), (22050, 128, 20)])
def test_agrees_with_librosa_on_noise_that_falls_silent(rate, bands, coefficients):
    noise = np.random.default_rng(0).standard_normal(rate) * np.linspace(0.3, 0, rate) ** 4
    samples = np.concatenate([noise, np.zeros(rate // 4)]).astype(np.float32)
    front = LogMel(rate, bands)
    ours = cepstrum(front(torch.from_numpy(samples)), coefficients).numpy()
    theirs = librosas(samples, front, coefficients, bands)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=5e-6 * np.abs(theirs).max())


def test_all_coefficients_hold_all_of_the_spectrogram():
    spectrogram = torch.randn(50, 40)
    decibels = spectrogram * 10 / np.log(10)
    torch.testing.assert_close(cepstrum(spectrogram, 40).square().sum(), decibels.square().sum(), rtol=1e-4, atol=0)


def test_the_processor_gives_normalised_coefficients(shared, tmp_path):
    samples, rate = voice(shared, VOICES[0])
    settings = AudioSettings(rate=rate, seconds=2.0, bands=40, range=80.0, front="mfcc", coefficients=13)
    processor = AudioProcessor(settings)
    given = processor(samples)["spectrogram"]
    expected = normalise_cepstrum(torch.from_numpy(librosas(samples, processor.front, 13, 40).copy()))
    torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-3)
    assert (given.mean(dim=0).abs() < 1e-4).all() and (given.std(dim=0, correction=0) < 1).all()
    processor.save(tmp_path)
    torch.manual_seed(0)
    one = processor(samples, augment=True)["spectrogram"]
    torch.manual_seed(0)
    assert torch.equal(AudioProcessor.load(tmp_path)(samples, augment=True)["spectrogram"], one)
    assert processor.pad([None, processor(samples)])["spectrogram"].shape == (2, len(given), 13)
    silence = processor(np.zeros(rate, np.float32))["spectrogram"]
    assert silence.abs().max() < 1e-3
