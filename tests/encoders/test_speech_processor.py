"""SpecAugment of the spectrograms that pretrained speech models read: within the clip, to its mean."""

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from sensorium.encoders.audio_augmentation import AudioAugmentation
from sensorium.encoders.speech_processor import SpeechProcessor

RATE = 16_000
MASKS = AudioAugmentation(speed=0, shift=0, gain=0, colour=0, range=0, bands=0.3, frames=0.3)
OFF = MASKS.model_copy(update={"bands": 0.0, "frames": 0.0})
EXTRACTORS = {
    "whisper": WhisperFeatureExtractor(feature_size=20, chunk_length=2),
    "wav2vec2-bert": SeamlessM4TFeatureExtractor(feature_size=20, num_mel_bins=20),
}


def clip(seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.1


@pytest.mark.parametrize("name", EXTRACTORS)
def test_masks_lie_within_the_clip_and_have_its_mean(name):
    processor = SpeechProcessor(EXTRACTORS[name], 2.0, 1600, MASKS)
    plain = processor(clip())
    torch.manual_seed(0)
    kinds = set()
    for _ in range(10):
        changed = processor(clip(), augment=True)
        assert torch.equal(changed["mask"], plain["mask"]) and changed["values"].shape == plain["values"].shape
        before, after = (view["values"].T if name == "whisper" else view["values"] for view in (plain, changed))
        different = before != after
        assert not different[~plain["mask"]].any()
        frames, bands = different.all(dim=1), different[plain["mask"]].all(dim=0)
        assert (different == ((frames[:, None] | bands) & plain["mask"][:, None])).all()
        torch.testing.assert_close(after[different], before[plain["mask"]].mean().expand(int(different.sum())))
        kinds |= {("frames", bool(frames.any())), ("bands", bool(bands.any()))}
    assert {("frames", True), ("bands", True)} <= kinds


@pytest.mark.parametrize("name", EXTRACTORS)
def test_nothing_is_masked_without_augmentation(name):
    processor = SpeechProcessor(EXTRACTORS[name], 2.0, 1600, OFF)
    torch.testing.assert_close(
        processor(clip(), augment=True)["values"], processor(clip())["values"], atol=1e-5, rtol=0
    )


def test_samples_have_no_spectrogram_to_mask():
    processor = SpeechProcessor(Wav2Vec2FeatureExtractor(sampling_rate=RATE), 2.0, 1600, MASKS)
    assert torch.equal(processor(clip(), augment=True)["values"], processor(clip())["values"])
