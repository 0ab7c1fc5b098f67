"""Pictures from scratch: a small residual convolution stack for any size from 8 pixels to 224 and more."""

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import Fit, ImageProcessor, Interpolation, Jpeg, settings_of
from sensorium.encoders.pixels import Normalise, needs_size, size_from
from sensorium.encoders.pooling import add_positions, as_features
from sensorium.features import Features
from sensorium.nn.convolution import Residual, group_norm


class ImageConvConfig(BaseModel, frozen=True, extra="forbid"):
    """A convolution stack's shape.

    size:  the side of the square each picture is brought to, in pixels; None lets `build` take it from the data, at
           most 128.
    width: of the last stage and so of the tokens; each earlier stage has half of the next, but not less than a quarter.
           None is 64 for pictures below 32 pixels, else 128.
    quick: whether a picture below 96 pixels is brought to half the resolution at once, and its last map to 4x4, at a
           third of the cost. A fit that names no encoder chooses it below 48 pixels.
    depth: residual blocks a stage.
    positions: whether a token says where in the picture it is, see `add_positions`; None lets `build` say yes, and is
           no in the checkpoints of before.
    fit, interpolation, jpeg, augmentation: see ImageSettings.
    mean, std: by channel (RGB, of values in [0, 1]), what is subtracted and divided by."""

    size: int | None = Field(None, ge=8, le=1024)
    fit: Fit = "squash"
    interpolation: Interpolation = "bicubic"
    jpeg: Jpeg = "reduced"
    augmentation: ImageAugmentation | None = ImageAugmentation()
    width: int | None = Field(None, ge=8, multiple_of=8)
    quick: bool = False
    positions: bool | None = Field(None, exclude_if=lambda value: value is None)
    depth: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)


class ImageConv(nn.Module):
    """A stem, then stages of residual blocks, each at half the resolution of the last, until the map is 8x8 or less.

    The stem's stride is 1 below 48 pixels, 2 below 96, else 4. A quick stack has 2 from 24 pixels on and 4 from 48 on,
    and goes on to 4x4 below 96. There are always two stages, so that 8x8 pictures end as a map of 4x4. Tokens are the
    last map's positions, line by line; pooled is their mean. Raises UserError when the config's size is None."""

    Config = ImageConvConfig
    Processor = ImageProcessor
    modality = "image"
    pretrained = False
    gives_map = True

    def __init__(self, config: ImageConvConfig, processor: ImageProcessor | None = None, summary_only: bool = False):
        super().__init__()
        size = needs_size(config.size)
        self.config, self.summary_only = config, summary_only
        self.processor = processor or ImageProcessor(settings_of(config, size))
        self.dim = config.width or (64 if size < 32 else 128)
        self.normalise = Normalise(config.mean, config.std)
        reach = 2 * size if config.quick else size
        stride = 1 if reach < 48 else 2 if reach < 96 else 4
        channels = _channels(size // stride, 4 if config.quick and size < 96 else 8, self.dim)
        self.stem = nn.Conv2d(3, channels[0], 3 if stride == 1 else 2 * stride - 1, stride, padding=stride // 2 or 1)
        # Each stage after the first begins with a stride of 2.
        blocks, inputs = [], channels[0]
        for stage, width in enumerate(channels):
            for block in range(config.depth):
                block_stride = 2 if stage and not block else 1
                blocks.append(Residual(inputs, width, (group_norm, group_norm), block_stride, config.dropout))
                inputs = width
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(self.dim)

    @classmethod
    def build(
        cls, config: ImageConvConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "ImageConv":
        """An encoder for training: an unstated size is taken from `facts` (see `size_from`); `values` are not read."""
        size = config.size or size_from(facts, step=4, most=128)
        positions = True if config.positions is None else config.positions
        return cls(config.model_copy(update={"size": size, "positions": positions}), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, 3, H, W], `mask` bool [B, 1] -> Features of T = h * w tokens (1 when summary_only)."""
        x = self.normalise(inputs["pixels"])
        if self.stem.out_channels < 8:
            # On AVX2, oneDNN (torch 2.14) writes past its buffers in training so few channels, channels last.
            x = x.contiguous()
        x = self.stem(x).float()
        for block in self.blocks:
            x = block(x)
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # [B, h * w, D]
        pooled = tokens.mean(dim=1)
        if self.config.positions and not self.summary_only:
            tokens = add_positions(tokens, *x.shape[2:])
        return as_features(tokens, inputs["mask"], pooled, self.summary_only)


def _channels(side: int, grid: int, width: int) -> list[int]:
    """Channels of each stage, the map's side being `side` after the stem: enough for one of `grid` or less, or two."""
    stages = 1
    while side > grid or stages < 2:
        side, stages = -(-side // 2), stages + 1
    return [max(width // 4, width >> (stages - 1 - stage)) for stage in range(stages)]
