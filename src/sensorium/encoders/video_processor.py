"""From the frames of a film to squares of bytes, all changed alike in training."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from sensorium.encoders.image_augmentation import ImageAugmentation, augmenter
from sensorium.encoders.image_processor import Fit, square
from sensorium.encoders.padding import column, pad_sequences


class VideoSettings(BaseModel, frozen=True, extra="forbid"):
    """What a VideoProcessor does.

    rate, frames: frames a second and the most frames, which the decoder gives: of a film with more so many are read,
                  evenly over its whole length.
    size, fit, augmentation: of each frame, see ImageSettings; all frames of a film are changed alike."""

    rate: float = Field(gt=0, le=1000)
    frames: int = Field(ge=1, le=4096)
    size: int = Field(ge=4, le=2048)
    fit: Fit = "squash"
    augmentation: ImageAugmentation | None = ImageAugmentation()


class DecodedFilm(NamedTuple):
    """What the processor reads of a decoded film: `frames`, uint8 [F, H, W, 3], and their `seconds`, float [F]."""

    frames: np.ndarray
    seconds: np.ndarray


class VideoProcessor:
    """A decoded film -> `pixels`, uint8 [F, 3, h, w], RGB squares, and `seconds`, float32 [F], from its beginning."""

    def __init__(self, settings: VideoSettings):
        self.settings = settings
        self.decoding: dict[str, Any] = settings.model_dump(include={"rate", "frames", "size", "fit"})
        self._augment = None if settings.augmentation is None else augmenter(settings.augmentation, settings.size)

    def __call__(self, value: DecodedFilm, augment: bool = False) -> dict[str, Tensor]:
        """One film; with `augment`, moved and tinted at random, all frames alike, by torch's global random state."""
        pixels = torch.from_numpy(np.array(value.frames)).permute(0, 3, 1, 2)  # [F, 3, H, W]
        pixels = square(pixels, self.settings.size, self.settings.fit)
        if augment and self._augment is not None:
            pixels = self._augment(pixels)
        return {"pixels": pixels.contiguous(), "seconds": torch.from_numpy(np.array(value.seconds, np.float32))}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`pixels` uint8 [B, F, 3, h, w], F the longest film's, `seconds` float32 [B, F], `mask` bool [B, F]."""
        size = self.settings.size
        pixels, mask = pad_sequences(column(items, "pixels"), (3, size, size), torch.uint8)
        seconds, _ = pad_sequences(column(items, "seconds"))
        return {"pixels": pixels, "seconds": seconds, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes processor.json into `folder`."""
        (Path(folder) / "processor.json").write_text(self.settings.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> "VideoProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(VideoSettings.model_validate_json((Path(folder) / "processor.json").read_text()))
