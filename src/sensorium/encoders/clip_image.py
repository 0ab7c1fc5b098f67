"""The picture tower of CLIP and SigLIP: a vision transformer that takes published weights."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import (
    USUAL_CROP,
    CropOffset,
    Fit,
    ImageProcessor,
    Interpolation,
    Jpeg,
    settings_of,
)
from sensorium.encoders.pixels import Scale, needs_size, size_from
from sensorium.encoders.pooling import as_features
from sensorium.features import Features
from sensorium.nn.activation import Activation
from sensorium.nn.attention import check_config_heads
from sensorium.nn.packing import Packing
from sensorium.nn.tower import ProbePooling, Tower

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ClipImageConfig(BaseModel, frozen=True, extra="forbid"):
    """A picture tower's shape.

    size:  the side of the square, in pixels, a multiple of `patch`; None lets `build` take it from the data, at most
           224.
    patch: the side of a patch, in pixels.
    width, depth, heads, ratio: of the transformer; `heads` divides `width`, the MLP is `ratio` times as wide.
    activation: that of the weights: OpenAI's were trained with quick_gelu, most later ones with gelu.
    pooling: "class" reads a class token, "mean" the mean of the patches, "attention" a learned probe (SigLIP).
    pre_norm: a LayerNorm before the first block, as CLIP has and SigLIP has not.
    patch_bias: whether the map from a patch to a token has a bias, as SigLIP's.
    eps:   of every LayerNorm.
    patch_dropout: the share of the patches left out in training (FLIP: Li et al. 2023, arXiv:2212.00794).
    fit, crop_offset, interpolation, jpeg, augmentation: see ImageSettings.
    mean, std: by channel (RGB, of values in [0, 1]), what is subtracted and divided by."""

    size: int | None = Field(None, ge=8, le=1024)
    patch: int = Field(16, ge=1)
    width: int = Field(192, ge=1)
    depth: int = Field(6, ge=1)
    heads: int = Field(3, ge=1)
    ratio: float = Field(4.0, gt=0)
    activation: Activation = "gelu"
    pooling: Literal["class", "mean", "attention"] = "class"
    pre_norm: bool = True
    patch_bias: bool = False
    eps: float = Field(1e-5, gt=0)
    patch_dropout: float = Field(0.0, ge=0, lt=1)
    fit: Fit = "crop"
    crop_offset: CropOffset = USUAL_CROP
    interpolation: Interpolation = "bicubic"
    jpeg: Jpeg = "reduced"
    augmentation: ImageAugmentation | None = ImageAugmentation()
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    @model_validator(mode="after")
    def _divides(self) -> "ClipImageConfig":
        check_config_heads(self.width, self.heads)
        if self.size and self.size % self.patch:
            raise ValueError(f"patch ({self.patch}) must divide size ({self.size})")
        return self

    @property
    def hidden(self) -> int:
        """The width of the MLPs."""
        return round(self.width * self.ratio)


class ClipImage(nn.Module):
    """Patches and learned positions through a pre-norm transformer (Dosovitskiy et al. 2020, arXiv:2010.11929).

    Tokens are the class token, if there is one, and the patches, line by line, after the last LayerNorm. With
    `summary_only` a class token's last block is computed for it alone. Raises UserError when the config's size is None.
    """

    Config = ClipImageConfig
    Processor = ImageProcessor
    modality = "image"
    pretrained = False

    def __init__(self, config: ClipImageConfig, processor: ImageProcessor | None = None, summary_only: bool = False):
        super().__init__()
        size = needs_size(config.size)
        self.config, self.summary_only, self.dim = config, summary_only, config.width
        self.processor = processor or ImageProcessor(settings_of(config, size))
        self.scale = Scale(config.mean, config.std)
        self.patches = nn.Linear(3 * config.patch**2, config.width, bias=config.patch_bias)
        has_class = config.pooling == "class"
        self.summary = nn.Parameter(torch.empty(config.width)) if has_class else None
        self.position = nn.Parameter(torch.empty(has_class + (size // config.patch) ** 2, config.width))
        self.pre_norm = nn.LayerNorm(config.width, config.eps) if config.pre_norm else nn.Identity()
        shape = (config.hidden, config.activation, config.eps)
        self.tower = Tower(config.width, config.depth, config.heads, *shape)
        self.pooling = None
        if config.pooling == "attention":
            self.pooling = ProbePooling(config.width, config.hidden, config.heads, config.activation, config.eps)
        for parameter in (self.position, *([self.summary] if has_class else [])):
            nn.init.normal_(parameter, std=config.width**-0.5)

    @classmethod
    def build(
        cls, config: ClipImageConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "ClipImage":
        """An encoder for training: an unstated size is taken from `facts`, as a multiple of the patch."""
        size = config.size or size_from(facts, step=config.patch, most=224)
        return cls(config.model_copy(update={"size": size}), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, 3, H, W], `mask` bool [B, 1] -> Features of T = (1 +) patches tokens (1 if summary_only).
        In training T is smaller by the patches that `patch_dropout` leaves out."""
        x, present = self._embed(inputs["pixels"]), inputs["mask"].any(dim=1)
        rows, count = x.shape[:2]
        packing, x = Packing(rows, count), x.flatten(0, 1)  # [B * T, D]
        if self.summary_only and self.summary is not None:
            return Features.one(self.tower(x, packing, x.new_zeros(rows, dtype=torch.long)), present)
        tokens = self.tower(x, packing).unflatten(0, (rows, count))  # [B, T, D]
        return as_features(tokens, inputs["mask"], self._pool(tokens), self.summary_only)

    def _embed(self, pixels: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32 [B, T, D]."""
        patches, side = pixels, self.config.patch
        patches = patches.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # [B, 3, h, side, w, side]
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # [B, h * w, 3, side, side]
        position = self.position if self.summary is None else self.position[1:]
        if self.training and self.config.patch_dropout:
            index = self._sample_patches(*patches.shape[:2], patches.device)  # [B, n]
            patches, position = patches[torch.arange(len(index), device=index.device)[:, None], index], position[index]
        x = self.patches(self.scale(patches).flatten(2)) + position
        if self.summary is not None:
            first = (self.summary + self.position[0]).expand(len(x), 1, -1)
            x = torch.cat([first, x], dim=1)
        return self.pre_norm(x.float())

    def _sample_patches(self, rows: int, count: int, device: torch.device) -> Tensor:
        """int64 [B, n]: for each picture, the n patches that stay, in order, by torch's global random state."""
        size = max(1, round(count * (1 - self.config.patch_dropout)))
        return torch.rand(rows, count, device=device).argsort(dim=1)[:, :size].sort(dim=1).values

    def _pool(self, tokens: Tensor) -> Tensor:
        if self.pooling is not None:
            return self.pooling(tokens).float()
        return tokens[:, 0] if self.summary is not None else tokens.mean(dim=1)


def resized(encoder: ClipImage, size: int) -> ClipImage:
    """The same weights for pictures of `size` pixels, as `changed` makes them."""
    return changed(encoder, {"size": size})


def changed(encoder: ClipImage, settings: dict[str, Any]) -> ClipImage:
    """The same weights under other `settings` that no weight depends on: how pictures are prepared and augmented, patch
    dropout, and the size, for which the positions are interpolated (bicubic, antialiased). Raises ValueError
    (Pydantic's) for an invalid setting, and RuntimeError for one that the weights do not fit."""
    config = ClipImageConfig(**encoder.config.model_dump() | settings)
    new = ClipImage(config, summary_only=encoder.summary_only)
    state = encoder.state_dict()
    if config.size != encoder.config.size:
        side = config.size // config.patch
        state["position"] = interpolated(state["position"], config.pooling == "class", side)
    new.load_state_dict(state)
    return new


def interpolated(position: Tensor, has_class: bool, side: int) -> Tensor:
    """float [(1 +) h * h, D], position embeddings of a square of patches -> float [(1 +) side * side, D]."""
    first, patches = position[:has_class], position[has_class:]
    old_side = round(len(patches) ** 0.5)
    square = patches.T.unflatten(1, (old_side, old_side))[None]  # [1, D, h, h]
    square = nn.functional.interpolate(square.float(), (side, side), mode="bicubic", antialias=True)
    return torch.cat([first, square[0].flatten(1).T.to(position.dtype)])  # [(1 +) side * side, D]
