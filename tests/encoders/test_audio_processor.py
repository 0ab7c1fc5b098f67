"""Samples to spectrograms: cutting, normalising, augmentation, absence, round trips."""

import pickle

import numpy as np
import pytest
import torch

from sensorium.encoders.audio_augmentation import AudioAugmentation, change_colour, change_samples, mask_spectrogram
from sensorium.encoders.audio_processor import AudioProcessor, AudioSettings, normalise
from sensorium.nn.spectrogram import LogMel

OFF = {"speed": 0, "shift": 0, "gain": 0, "noise": None, "colour": 0, "range": 0, "bands": 0, "frames": 0}


def settings(**options) -> AudioSettings:
    return AudioSettings(**{"rate": 8000, "seconds": 1.0, "bands": 40} | options)


def clip(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(round(8000 * seconds)) / 8000
    chirp = np.sin(2 * np.pi * (300 + 900 * time) * time) * np.hanning(len(time))
    return (0.2 * chirp + 0.01 * generator.standard_normal(len(time))).astype(np.float32)


def test_each_band_has_zero_mean_and_the_whole_a_spread_of_nearly_one():
    spectrogram = AudioProcessor(settings())(clip())["spectrogram"]
    assert spectrogram.shape == (51, 40)
    torch.testing.assert_close(spectrogram.mean(dim=0), torch.zeros(40), atol=1e-4, rtol=0)
    assert 0.8 < spectrogram.std() < 1.0


def test_loudness_and_a_microphones_colour_are_taken_out():
    processor, value = AudioProcessor(settings(range=200.0)), clip()
    plain = processor(value)["spectrogram"]
    torch.testing.assert_close(processor(value / 8)["spectrogram"], plain, atol=0.02, rtol=0)
    coloured = LogMel(8000, 40)(torch.from_numpy(value)) + torch.linspace(-2, 2, 40)
    torch.testing.assert_close(normalise(coloured, 200.0), plain, atol=1e-4, rtol=0)


def test_what_is_too_far_below_the_loudest_point_is_raised_to_the_bound():
    spectrogram = torch.tensor([[0.0, -1.0], [-20.0, -30.0]])
    bounded = normalise(spectrogram, 20.0)
    bound = -2 * np.log(10)
    torch.testing.assert_close(
        bounded, normalise(torch.tensor([[0.0, -1.0], [bound, bound]], dtype=torch.float32), 1000.0)
    )
    quiet, room = clip(), np.random.default_rng(1).standard_normal(4000).astype(np.float32) * 1e-3
    near = AudioProcessor(settings(range=20.0))
    far = AudioProcessor(settings(range=90.0))
    silenced = np.where(np.abs(quiet) > 0.05, quiet, 0).astype(np.float32)
    apart = [(p(silenced)["spectrogram"] - p(silenced + room)["spectrogram"]).abs().mean() for p in (near, far)]
    assert apart[0] < 0.5 * apart[1]


def test_silence_and_a_single_sample_are_finite():
    processor = AudioProcessor(settings())
    for value in (np.zeros(4000, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32)):
        for augment in (False, True):
            assert processor(value, augment)["spectrogram"].isfinite().all()


def test_a_long_clip_is_cut_to_its_loudest_span():
    value = np.zeros(24000, np.float32)
    value[13000:17000] = clip(0.5)
    cut = AudioProcessor(settings(seconds=0.5))(value)["spectrogram"]
    # The loudest half second is the chirp, give or take the near-silence at its ends.
    torch.testing.assert_close(cut, AudioProcessor(settings())(clip(0.5))["spectrogram"], atol=0.7, rtol=0)
    assert len(cut) == 51


def test_the_decoder_is_asked_for_the_rate():
    assert AudioProcessor(settings(rate=16000)).decoding == {"rate": 16000}


def test_augmentation_is_drawn_from_torchs_global_state_alone():
    processor, value = AudioProcessor(settings()), clip()
    torch.manual_seed(3)
    np.random.seed(0)
    first, second = (processor(value, augment=True)["spectrogram"] for _ in range(2))
    torch.manual_seed(3)
    np.random.seed(1)
    assert torch.equal(processor(value, augment=True)["spectrogram"], first)
    assert first.shape != second.shape or not torch.equal(first, second)
    assert torch.equal(processor(value)["spectrogram"], processor(value)["spectrogram"])


def test_no_change_when_all_is_off_or_there_is_none():
    value = clip()
    for chance in (AudioAugmentation(**OFF), None):
        processor = AudioProcessor(settings(augmentation=chance))
        assert torch.equal(processor(value, augment=True)["spectrogram"], processor(value)["spectrogram"])


def test_speed_changes_length_and_pitch_alike():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)
    lengths = set()
    for _ in range(10):
        faster = change_samples(tone, 8000, AudioAugmentation(**OFF | {"speed": 0.2}))
        lengths.add(len(faster))
        pitch = torch.fft.rfft(faster).abs().argmax() * 8000 / len(faster)
        assert abs(float(pitch) - 1000 * 8000 / len(faster)) < 3
        assert float(faster.abs().max()) == pytest.approx(1.0, abs=0.05)
        assert 8000 / 1.21 < len(faster) < 8000 / 0.79
    assert len(lengths) > 5


def test_shift_gain_and_noise_do_what_they_say():
    samples = torch.from_numpy(clip())
    shifted = change_samples(samples, 8000, AudioAugmentation(**OFF | {"shift": 0.05}))
    assert torch.equal(shifted.sort().values, samples.sort().values)
    assert not torch.equal(shifted, samples)
    gains = [change_samples(samples, 8000, AudioAugmentation(**OFF | {"gain": 6.0})) / samples for _ in range(20)]
    decibels = torch.stack([20 * gain.median().log10() for gain in gains])
    assert decibels.abs().max() <= 6.01
    assert decibels.std() > 1
    noised = [change_samples(samples, 8000, AudioAugmentation(**OFF | {"noise": 0.0})) - samples for _ in range(40)]
    levels = torch.stack([noise.square().mean() / samples.square().mean() for noise in noised])
    assert 5 < int((levels > 0).sum()) < 35
    assert levels.max() < 1.2


def test_colour_is_a_smooth_curve_over_the_bands():
    silence = torch.zeros(30, 40)
    curves = torch.stack([change_colour(silence, AudioAugmentation(**OFF | {"colour": 3.0})) for _ in range(200)])
    assert torch.equal(curves[:, 0], curves[:, 29])
    ends = curves[:, 0, 0] * 10 / np.log(10)
    assert 2.5 < ends.std() < 3.5
    assert (curves[:, 0].diff(dim=1).diff(dim=1).abs() > 1e-4).sum(dim=1).max() <= 6


def test_masks_along_a_long_clip_are_no_longer_than_a_second():
    ones, settings = torch.ones(3000, 8), AudioAugmentation(**OFF | {"frames": 0.15})
    counts = [int((mask_spectrogram(ones, 100.0, settings) == 0).all(dim=1).sum()) for _ in range(30)]
    assert 100 < max(counts) <= 200


def test_masks_are_zero_and_within_their_bounds():
    ones = torch.ones(100, 40)
    for _ in range(20):
        masked = mask_spectrogram(ones, 100.0, AudioAugmentation(**OFF | {"bands": 0.1, "frames": 0.2}))
        assert int((masked == 0).all(dim=0).sum()) <= 8
        assert int((masked == 0).all(dim=1).sum()) <= 40
    assert torch.equal(ones, torch.ones(100, 40))


def test_pad_marks_what_is_real():
    processor = AudioProcessor(settings())
    batch = processor.pad([processor(clip(0.2)), None, processor(clip(0.1))])
    assert batch["spectrogram"].shape == (3, 21, 40)
    assert batch["mask"].sum(dim=1).tolist() == [21, 0, 11]
    assert not batch["spectrogram"][2, 11:].any()
    nothing = processor.pad([None, None])
    assert nothing["spectrogram"].shape == (2, 1, 40)
    assert not nothing["mask"].any()


def test_saves_loads_and_pickles(tmp_path):
    processor = AudioProcessor(settings(hop=0.0125, augmentation=AudioAugmentation(speed=0.1)))
    processor.save(tmp_path)
    for other in (AudioProcessor.load(tmp_path), pickle.loads(pickle.dumps(processor))):
        assert other.settings == processor.settings
        assert torch.equal(other(clip())["spectrogram"], processor(clip())["spectrogram"])
