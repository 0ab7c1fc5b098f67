"""From a decoded picture to a square of bytes: one size for all, and augmentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torchvision.tv_tensors import BoundingBoxes

from sensorium.data.media.image import MOST_ASPECT
from sensorium.encoders.image_augmentation import ImageAugmentation, augmenter

Fit = Literal["squash", "crop"]
Interpolation = Literal["bicubic", "bilinear"]
Jpeg = Literal["reduced", "full"]
CropOffset = Literal["even", "down"]
# As usual, the setting is not written, so that what was written before it existed is what is written now.
USUAL_CROP: Any = Field("even", exclude_if="even".__eq__)


class ImageSettings(BaseModel, frozen=True, extra="forbid"):
    """What an ImageProcessor does.

    size: the side of the square, in pixels.
    fit:  "squash" stretches the picture to the square, so that nothing of it is lost; "crop" keeps its proportions,
          brings the shorter side to `size` and cuts the middle out, as most published models were trained.
    crop_offset: where the middle begins when half of what is cut off is no whole number: rounded to "even", as
          torchvision and open_clip do, or "down", as Transformers does.
    interpolation: of the resize, which is antialiased.
    jpeg: "reduced" has a JPEG decoded at the smallest of an eighth, a quarter and half its size that is not
          smaller than the square, which is faster and on average at most two grey levels from "full"."""

    size: int = Field(ge=4, le=2048)
    fit: Fit = "squash"
    crop_offset: CropOffset = USUAL_CROP
    interpolation: Interpolation = "bicubic"
    jpeg: Jpeg = "reduced"
    augmentation: ImageAugmentation | None = ImageAugmentation()


def settings_of(config: Any, size: int) -> ImageSettings:
    """The settings that an encoder's config has of the same names, at `size` pixels."""
    names = [name for name in ImageSettings.model_fields if name != "size" and hasattr(config, name)]
    return ImageSettings(size=size, **{name: getattr(config, name) for name in names})


class ImageProcessor:
    """uint8 [H, W, 3] in RGB -> `pixels`, uint8 [3, h, w] in RGB, a square. Pixels stay bytes, channels last in memory,
    so that a batch is small and needs no rearranging; the encoder normalises. Reads and writes `processor.json`."""

    def __init__(self, settings: ImageSettings):
        self.settings = settings
        self.decoding: dict[str, Any] = {"least": settings.size} if settings.jpeg == "reduced" else {}
        self._augment = None if settings.augmentation is None else augmenter(settings.augmentation, settings.size)
        self._move = None
        if settings.augmentation is not None and self.can_move:
            self._move = augmenter(settings.augmentation, settings.size, of_points=True)

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One picture; with `augment`, moved and tinted at random by torch's global random state."""
        value = np.require(value, requirements=["C", "W"])
        pixels = torch.from_numpy(value).permute(2, 0, 1)  # [3, H, W]
        settings = self.settings
        pixels = square(pixels, settings.size, settings.fit, settings.interpolation, settings.crop_offset)
        if augment and self._augment is not None:
            pixels = self._augment(pixels)
        return {"pixels": pixels}

    @property
    def can_move(self) -> bool:
        """Whether `move` can tell where points of a picture are after it was changed."""
        settings, augmentation = self.settings, self.settings.augmentation
        plain = augmentation is None or (augmentation.around == "edge" and not augmentation.outline)
        return plain and settings.fit == "squash"

    def move(self, points: Sequence[float]) -> list[float]:
        """Points x, y, x, y, ... as shares of a picture -> where they are after the change that torch's global random
        state draws for it; those that leave it, at its edge.
        """
        size, pairs = self.settings.size, torch.tensor(points).reshape(-1, 2)
        if self._move is None or not len(pairs):
            return list(points)
        # As boxes without extent: torchvision mirrors KeyPoints as if they were the numbers of pixels.
        boxes = BoundingBoxes(pairs.repeat(1, 2) * size, format="XYXY", canvas_size=(size, size))
        return (self._move(boxes)[:, :2] / size).flatten().tolist()

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`pixels` uint8 [B, 3, h, w] and `mask` bool [B, 1]; zeros where the picture is absent."""
        size = self.settings.size
        pixels = torch.zeros(len(items), size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)  # [B, 3, h, w]
        for row, item in enumerate(items):
            if item is not None:
                pixels[row] = item["pixels"]
        return {"pixels": pixels, "mask": torch.tensor([[item is not None] for item in items], dtype=torch.bool)}

    def save(self, folder: Path) -> None:
        """Writes the settings into `folder`."""
        (Path(folder) / "processor.json").write_text(self.settings.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> "ImageProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(ImageSettings.model_validate_json((Path(folder) / "processor.json").read_text()))


def square(
    pixels: Tensor, size: int, fit: Fit, interpolation: Interpolation = "bicubic", crop_offset: CropOffset = "even"
) -> Tensor:
    """uint8 [..., 3, H, W] -> [..., 3, size, size], as ImageSettings says of the options; antialiased."""
    if fit == "crop":
        short = min(pixels.shape[-2:])
        pixels = _middle(pixels, *(min(side, MOST_ASPECT * short) for side in pixels.shape[-2:]), crop_offset)
    height, width = pixels.shape[-2:]
    goal = (size, size)
    if fit == "crop":
        # As torchvision's Resize: the longer side is rounded down.
        goal = (size * height // min(height, width), size * width // min(height, width))
    if goal != (height, width):
        pixels = _resize(pixels, goal, interpolation)
    return _middle(pixels, size, size, crop_offset)


def _middle(pixels: Tensor, height: int, width: int, crop_offset: CropOffset) -> Tensor:
    """[..., H, W] -> [..., height, width], which are no larger."""
    top, left = ((side - goal) / 2 for side, goal in zip(pixels.shape[-2:], (height, width), strict=True))
    top, left = (round(top), round(left)) if crop_offset == "even" else (int(top), int(left))
    return pixels[..., top : top + height, left : left + width]


def _resize(pixels: Tensor, goal: tuple[int, int], interpolation: Interpolation) -> Tensor:
    batch = pixels.reshape(-1, *pixels.shape[-3:])  # [B, 3, H, W]
    if len(batch) == 1 and batch.is_contiguous(memory_format=torch.channels_last):
        # With this batch stride a batch of one counts as channels last too, which saves a copy before and after.
        batch = batch.as_strided(batch.shape, (batch.numel(), *batch.stride()[1:]))
    resized = nn.functional.interpolate(batch, goal, mode=interpolation, antialias=True)
    return resized.reshape(*pixels.shape[:-2], *goal)  # [..., 3, h, w]
