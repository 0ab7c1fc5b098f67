"""From samples to the input of a pretrained speech model, by the feature extractor that came with it."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, SequenceFeatureExtractor

from sensorium.encoders.audio_augmentation import AudioAugmentation, change_samples, mask_spectrogram
from sensorium.encoders.audio_processor import loudest
from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.processor_files import read_settings, write_settings


class SpeechProcessor:
    """float32 [S] in [-1, 1] -> `values`, float32 [F, ...] or, of a model that reads a whole span at once, [M, F].

    extractor: Transformers'; it says the rate. seconds: a longer clip is cut to its loudest span of that length.
    shortest: samples; a shorter clip is followed by silence up to there, for the model's convolutions to have enough.
    augmentation: of the samples, speed, shift, gain and noise; of a spectrogram that is made of them, the masks."""

    def __init__(
        self, extractor: SequenceFeatureExtractor, seconds: float, shortest: int, augmentation: AudioAugmentation | None
    ):
        self.extractor, self.seconds, self.shortest = extractor, seconds, shortest
        self.augmentation = augmentation
        self.rate: int = extractor.sampling_rate
        self.decoding: dict[str, Any] = {"rate": self.rate}

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One clip -> {"values": float32, "mask": bool [F]}, the mask True where a frame is of the clip. With
        `augment`, changed at random by torch's global random state."""
        span = round(self.seconds * self.rate)
        samples = loudest(value, span)
        if augment and self.augmentation is not None:
            samples = change_samples(torch.from_numpy(np.array(samples)), self.rate, self.augmentation).numpy()[:span]
        samples = np.pad(samples, (0, max(0, self.shortest - len(samples))))
        extracted = self.extractor(
            samples, sampling_rate=self.rate, return_attention_mask=True, return_tensors="pt", **self._padding
        )
        values = extracted[self.extractor.model_input_names[0]][0].float()
        mask = torch.ones(len(values)).bool()
        if "attention_mask" in extracted:
            mask = extracted["attention_mask"][0].bool()
        if augment and self.augmentation is not None and values.ndim == 2:
            values = self._masked(values, mask, self.augmentation)
        return {"values": values, "mask": mask}

    def _masked(self, values: Tensor, mask: Tensor, augmentation: AudioAugmentation) -> Tensor:
        """The spectrogram with spans of the clip's own bands and frames, where `mask` is True, set to its mean."""
        frames = (values.T if self._reads_whole_span else values).clone()  # [F, M]
        mean = frames[mask].mean()
        rate = self.rate / getattr(self.extractor, "hop_length", self.rate / 100)
        frames[mask] = mask_spectrogram(frames[mask] - mean, rate, augmentation) + mean
        return frames.T if self._reads_whole_span else frames

    @property
    def _reads_whole_span(self) -> bool:
        """Whether the extractor is like Whisper's, which gives [M, F], padded to the whole span that is read."""
        return hasattr(self.extractor, "chunk_length")

    @property
    def _padding(self) -> dict[str, Any]:
        """Extractors like Whisper's pad to the whole span they read; the others pad only as far as needed."""
        if not self._reads_whole_span:
            return {"padding": True}
        return {"padding": "max_length", "max_length": round(self.extractor.chunk_length * self.rate)}

    @cached_property
    def _blank(self) -> dict[str, Tensor]:
        return self(np.zeros(self.shortest, np.float32))

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`values` float32 [B, ...] of the longest, zero beyond each clip's end, and `mask` bool [B, F]."""
        example = next((item for item in items if item is not None), None) or self._blank
        return {
            name: pad_sequences(column(items, name), tensor.shape[1:], tensor.dtype, shortest=len(tensor))[0]
            for name, tensor in example.items()
        }

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json (Transformers') and processor.json into `folder`."""
        self.extractor.save_pretrained(folder)
        write_settings(folder, {"seconds": self.seconds, "shortest": self.shortest}, self.augmentation)

    @classmethod
    def load(cls, folder: Path) -> "SpeechProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = read_settings(folder, AudioAugmentation)
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(extractor, **settings)
