"""Pictures from scratch: a vision transformer."""

from collections.abc import Iterable

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import Fit, ImageProcessor, Interpolation, Jpeg, settings_of
from sensorium.encoders.pixels import Normalise, needs_size, size_from
from sensorium.encoders.pooling import as_features
from sensorium.features import Features
from sensorium.nn.attention import check_config_heads
from sensorium.nn.transformer import Transformer


class ViTConfig(BaseModel, frozen=True, extra="forbid"):
    """A vision transformer's shape.

    size:  the side of the square each picture is brought to, in pixels; None lets `build` take it from the data, at
           most 128.
    patch: the side of a patch, in pixels, a divisor of `size`; None takes the largest divisor that leaves 8 patches or
           more a side and is 16 or less.
    width, depth, heads: of the transformer; `heads` divides `width`.
    fit, interpolation, jpeg, augmentation: see ImageSettings.
    mean, std: by channel (RGB, of values in [0, 1]), what is subtracted and divided by."""

    size: int | None = Field(None, ge=8, le=1024)
    patch: int | None = Field(None, ge=1)
    fit: Fit = "squash"
    interpolation: Interpolation = "bicubic"
    jpeg: Jpeg = "reduced"
    augmentation: ImageAugmentation | None = ImageAugmentation()
    width: int = Field(192, ge=1)
    depth: int = Field(6, ge=1)
    heads: int = Field(3, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @model_validator(mode="after")
    def _divides(self) -> "ViTConfig":
        check_config_heads(self.width, self.heads)
        if self.size and self.patch and self.size % self.patch:
            raise ValueError(f"patch ({self.patch}) must divide size ({self.size})")
        return self


class ViT(nn.Module):
    """Patches, a class token and learned positions, then a transformer (Dosovitskiy et al. 2020, arXiv:2010.11929).

    Tokens are the class token and the patches, line by line; pooled is the class token. Raises UserError when the
    config's size is None."""

    Config = ViTConfig
    Processor = ImageProcessor
    modality = "image"
    pretrained = False

    def __init__(self, config: ViTConfig, processor: ImageProcessor | None = None, summary_only: bool = False):
        super().__init__()
        size = needs_size(config.size)
        self.config, self.summary_only = config, summary_only
        self.processor = processor or ImageProcessor(settings_of(config, size))
        self.dim = config.width
        self.normalise = Normalise(config.mean, config.std)
        patch = config.patch or max(side for side in range(1, min(16, max(1, size // 8)) + 1) if size % side == 0)
        self.patches = nn.Conv2d(3, config.width, patch, patch)
        self.summary = nn.Parameter(torch.empty(1, 1, config.width))
        self.position = nn.Parameter(torch.empty(1 + (size // patch) ** 2, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(config.width, config.depth, config.heads, config.dropout)
        nn.init.normal_(self.summary, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    @classmethod
    def build(
        cls, config: ViTConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "ViT":
        """An encoder for training: an unstated size is taken from `facts`, as a multiple of the patch, or of 8."""
        size = config.size or size_from(facts, step=config.patch or 8, most=128)
        return cls(config.model_copy(update={"size": size}), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, 3, H, W], `mask` bool [B, 1] -> Features of T = 1 + patches tokens (1 if summary_only)."""
        patches = self.patches(self.normalise(inputs["pixels"])).flatten(2).transpose(1, 2)  # [B, T - 1, D]
        summary = self.summary.expand(len(patches), -1, -1)  # [B, 1, D]
        x = self.dropout(torch.cat([summary, patches.float()], dim=1) + self.position)  # [B, T, D]
        mask = inputs["mask"].expand(-1, x.shape[1])
        tokens = self.transformer(x, mask)
        return as_features(tokens, inputs["mask"], tokens[:, 0], self.summary_only)
