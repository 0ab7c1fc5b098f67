"""From samples to the input of a pretrained speech model, by the feature extractor that came with it."""

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoFeatureExtractor, SequenceFeatureExtractor

from sensorium.encoders.audio_augmentation import AudioAugmentation, change_samples, mask_spectrogram
from sensorium.encoders.audio_processor import loudest
from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.processor_files import read_settings, write_settings
from sensorium.encoders.whisper import log_mel

STEP = 1.0  # seconds: windows of Whisper's are whole numbers of it, so that many clips have the same


class SpeechProcessor:
    """float32 [S] in [-1, 1] -> `values`, float32 [F, ...] or, of a model that reads a whole span at once, [M, F].

    silence: seconds of it after a clip in a window of its own, all of which is real, as a decoder of Whisper reads it;
    `values` is then [F, M]. None: what the model reads is of one length for all clips, and only theirs is real.

    extractor: Transformers'; it says the rate. seconds: a longer clip is cut to its loudest span of that length.
    shortest: samples; a shorter clip is followed by silence up to there, for the model's convolutions to have enough.
    augmentation: of the samples, speed, shift, gain and noise; of a spectrogram that is made of them, the masks."""

    def __init__(
        self,
        extractor: SequenceFeatureExtractor,
        seconds: float,
        shortest: int,
        augmentation: AudioAugmentation | None,
        silence: float | None = None,
    ):
        self.extractor, self.seconds, self.shortest, self.silence = extractor, seconds, shortest, silence
        self.augmentation = augmentation
        self.rate: int = extractor.sampling_rate
        self.decoding: dict[str, Any] = {"rate": self.rate}

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One clip -> {"values": float32, "mask": bool [F]}, the mask True where a frame is of the clip. With
        `augment`, changed at random by torch's global random state."""
        span = round(self.seconds * self.rate)
        samples = loudest(value, span)
        augmentation = self.augmentation if augment else None
        if augmentation is not None:
            samples = change_samples(torch.from_numpy(np.array(samples)), self.rate, augmentation).numpy()[:span]
        if self.silence is not None:
            window = self.window(samples, self.silence)
            if augmentation is not None:
                heard = torch.arange(len(window["mask"])) * self.extractor.hop_length < len(samples)
                window["values"] = self._masked(window["values"], heard, augmentation)
            return window
        samples = self._padded(samples)
        extracted = self.extractor(
            samples, sampling_rate=self.rate, return_attention_mask=True, return_tensors="pt", **self._padding
        )
        values = extracted[self.extractor.model_input_names[0]][0].float()
        mask = torch.ones(len(values)).bool()
        if "attention_mask" in extracted:
            mask = extracted["attention_mask"][0].bool()
        if augmentation is not None and values.ndim == 2:
            frames = self._masked(values.T if self._reads_whole_span else values, mask, augmentation)
            values = frames.T if self._reads_whole_span else frames
        return {"values": values, "mask": mask}

    def window(self, samples: np.ndarray, silence: float) -> dict[str, Tensor]:
        """float32 [S] -> `values` float32 [F, M] of a window of Whisper's, in which `silence` seconds of it follow, and
        `mask`; its length follows from the clip's alone."""
        samples = self._padded(samples)
        steps = math.ceil((len(samples) / self.rate + silence) / STEP)
        seconds = min(steps * STEP, self.extractor.chunk_length)
        frames = log_mel(torch.from_numpy(samples), self.extractor)
        missing = round(seconds * self.rate) // self.extractor.hop_length - len(frames)
        values = nn.functional.pad(frames, (0, 0, 0, missing))  # zeros of the spectrogram, not of the sound
        return {"values": values, "mask": torch.ones(len(values)).bool()}

    def _padded(self, samples: np.ndarray) -> np.ndarray:
        return np.pad(samples, (0, max(0, self.shortest - len(samples))))

    def _masked(self, frames: Tensor, heard: Tensor, augmentation: AudioAugmentation) -> Tensor:
        """float [F, M] with spans of the clip's own bands and frames, where `heard` is True, set to its mean."""
        frames, mean = frames.clone(), frames[heard].mean()
        rate = self.rate / getattr(self.extractor, "hop_length", self.rate / 100)
        frames[heard] = mask_spectrogram(frames[heard] - mean, rate, augmentation) + mean
        return frames

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
            name: pad_sequences(column(items, name), tensor.shape[1:], tensor.dtype, shortest=self._fewest(tensor))[0]
            for name, tensor in example.items()
        }

    def _fewest(self, tensor: Tensor) -> int:
        return 1 if self.silence is not None else len(tensor)

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json (Transformers') and processor.json into `folder`."""
        self.extractor.save_pretrained(folder)
        settings = {"seconds": self.seconds, "shortest": self.shortest}
        settings |= {} if self.silence is None else {"silence": self.silence}
        write_settings(folder, settings, self.augmentation)

    @classmethod
    def load(cls, folder: Path) -> "SpeechProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = read_settings(folder, AudioAugmentation)
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(extractor, **settings)
