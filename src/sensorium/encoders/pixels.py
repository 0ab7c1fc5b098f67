"""Shared by the picture encoders: the size taken from the data, and bytes to normalised numbers."""

import math

import torch
from torch import Tensor, nn

from sensorium.errors import UserError


def size_from(facts: dict[str, float], step: int, most: int) -> int:
    """The side, in pixels, at which to read pictures whose median `height` and `width` are in `facts`. It is the longer
    of the two, rounded to the nearest multiple of `step`, at least 8 and at most `most`; `most` without facts."""
    side = max(facts.get("height", most), facts.get("width", most))
    return step * max(math.ceil(8 / step), min(most // step, round(side / step)))


def needs_size(size: int | None) -> int:
    """`size`, or a UserError when it is None: only `build` takes it from data."""
    if size is None:
        raise UserError("An image encoder needs the option 'size' in pixels; state it, or build the encoder from data.")
    return size


class Normalise(nn.Module):
    """uint8 [B, 3, H, W] -> float32 [B, 3, H, W]: (x / 255 - mean) / std by channel, RGB, channels last in memory."""

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]):
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)[:, None, None]), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32, the same shape."""
        return ((pixels.float() - self.mean) * self.scale).contiguous(memory_format=torch.channels_last)


class Scale(nn.Module):
    """uint8 [..., 3, h, w] -> float32, contiguous: (x / 255 - mean) / std by channel, RGB."""

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]):
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("factor", 1 / (255 * torch.tensor(std)[:, None, None]), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [..., 3, h, w] -> float32, the same shape."""
        return pixels.to(torch.float32, memory_format=torch.contiguous_format).sub_(self.mean).mul_(self.factor)
