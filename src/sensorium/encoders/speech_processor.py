"""From samples to what a pretrained speech model reads, by the feature extractor that came with it."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor, SequenceFeatureExtractor

from sensorium.encoders.audio_augmentation import AudioAugmentation, change_samples
from sensorium.encoders.audio_processor import loudest


class SpeechProcessor:
    """float32 [S] in [-1, 1] -> `values`, float32 [F, ...] or, of a model that reads a whole span at once, [M, F].

    extractor: Transformers'; it says the rate. seconds: a longer clip is cut to its loudest span of that length.
    shortest: samples; a shorter clip is followed by silence up to there, for the model's convolutions to have enough.
    augmentation: of the samples alone: speed, shift, gain and noise.
    """

    def __init__(
        self,
        extractor: SequenceFeatureExtractor,
        seconds: float,
        shortest: int,
        augmentation: AudioAugmentation | None,
    ):
        self.extractor, self.seconds, self.shortest = extractor, seconds, shortest
        self.augmentation = augmentation
        self.rate: int = extractor.sampling_rate
        self.decoding: dict[str, Any] = {"rate": self.rate}

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One clip -> {"values": float32, "mask": bool [F]}, the mask True where a frame is of the clip.

        With `augment`, changed by chance from torch's global random state.
        """
        span = round(self.seconds * self.rate)
        samples = loudest(value, span)
        if augment and self.augmentation is not None:
            samples = change_samples(torch.from_numpy(np.array(samples)), self.rate, self.augmentation).numpy()[:span]
        samples = np.pad(samples, (0, max(0, self.shortest - len(samples))))
        found = self.extractor(
            samples, sampling_rate=self.rate, return_attention_mask=True, return_tensors="pt", padding=self._padding
        )
        values = found[self.extractor.model_input_names[0]][0].float()
        mask = found["attention_mask"][0].bool() if "attention_mask" in found else torch.ones(len(values)).bool()
        return {"values": values, "mask": mask}

    @property
    def _padding(self) -> str | bool:
        """Whisper's kind pads to the span it reads by default, the others by no more than they have to."""
        return "max_length" if hasattr(self.extractor, "chunk_length") else True

    @cached_property
    def _blank(self) -> dict[str, Tensor]:
        return self(np.zeros(self.shortest, np.float32))

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`values` float32 [B, ...] of the longest, zero beyond each clip's end, and `mask` bool [B, F]."""
        known = [item for item in items if item is not None] or [self._blank]
        batch = {}
        for name in ("values", "mask"):
            longest = max(len(item[name]) for item in known)
            shape = (len(items), longest, *known[0][name].shape[1:])
            batch[name] = known[0][name].new_zeros(shape)
            for row, item in enumerate(items):
                if item is not None:
                    batch[name][row, : len(item[name])] = item[name]
        return batch

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json (Transformers') and processor.json into `folder`."""
        self.extractor.save_pretrained(folder)
        augmentation = None if self.augmentation is None else self.augmentation.model_dump()
        settings = {"seconds": self.seconds, "shortest": self.shortest, "augmentation": augmentation}
        (Path(folder) / "processor.json").write_text(json.dumps(settings, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "SpeechProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = json.loads((Path(folder) / "processor.json").read_text())
        if settings["augmentation"] is not None:
            settings["augmentation"] = AudioAugmentation(**settings["augmentation"])
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return cls(extractor, **settings)
