"""Films: an image encoder on each frame, then layers over time."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field, ValidationError, model_validator
from torch import Tensor, nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_conv import ImageConv
from sensorium.encoders.pooling import summarise
from sensorium.encoders.timm_image import TimmImage
from sensorium.encoders.video_processor import VideoProcessor, VideoSettings
from sensorium.encoders.vit import ViT
from sensorium.errors import UserError, unknown
from sensorium.features import Features
from sensorium.nn.transformer import Transformer

IMAGES = {"image_conv": ImageConv, "vit": ViT, "timm": TimmImage}
_SCALES = 8  # periods of the time encoding: from an eighth of a second, doubling, to 16 seconds
_MOST_SIDE = 64  # pixels: a film has many frames, so a size that is not stated is smaller than a picture's


class FrameConfig(BaseModel, frozen=True, extra="forbid"):
    """The encoder of each frame: the name of an image encoder, and its settings (its augmentation is not used)."""

    encoder: Literal["image_conv", "vit", "timm"] = "image_conv"
    config: dict[str, Any] = {"width": 64, "depth": 1}

    @model_validator(mode="after")
    def _fits(self) -> "FrameConfig":
        self.resolved()
        return self

    def resolved(self) -> BaseModel:
        """The settings as the configuration of the image encoder. Raises UserError for one that does not fit."""
        config_class = IMAGES[self.encoder].Config
        try:
            return config_class.model_validate(self.config | {"augmentation": None})
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(str(key) for key in first["loc"])
            if first["type"] == "extra_forbidden":
                reason = str(unknown("setting", setting, config_class.model_fields))
            else:
                reason = f"{setting or 'config'} is {first.get('input')!r}, but {first['msg']}."
            raise UserError(f"In the image encoder '{self.encoder}' of a film: {reason}") from error


class VideoConfig(BaseModel, frozen=True, extra="forbid"):
    """How a film is read.

    frames: the most that are read. rate: how many a second; None lets `build` spread `frames` over the 95th
            percentile of the lengths, at no more than the films' own rate. Of a longer film `frames` frames are read,
            evenly.
    image:  the encoder of each frame.
    frozen: whether the image encoder's weights stay as they are; None freezes pretrained ones.
    grid:   each frame's token reads a map of so many by so many positions.
    over:   what reads the frames in order: "transformer", "convolution", or "mean", which learns nothing and ignores
            their order: with a frozen image encoder its features can be kept on disk.
    width:  of a frame's token. depth, heads, dropout: of the layers over time.
    augmentation: see ImageAugmentation; all frames of a film are changed alike."""

    frames: int = Field(16, ge=1, le=4096)
    rate: float | None = Field(None, gt=0, le=1000)
    image: FrameConfig = FrameConfig()
    frozen: bool | None = None
    grid: int = Field(4, ge=1, le=16)
    over: Literal["transformer", "convolution", "mean"] = "transformer"
    width: int = Field(128, ge=8)
    depth: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    augmentation: ImageAugmentation | None = ImageAugmentation()


class VideoFrames(nn.Module):
    """An image encoder on each frame, detectors of what moved from one to the next, and layers over time.

    Tokens are the frames, pooled is their mean. A frozen image encoder stays in evaluation mode while the layers over
    it learn. Raises UserError when the config's rate, or the size of its frames, is None."""

    Config = VideoConfig
    Processor = VideoProcessor
    modality = "video"

    def __init__(self, config: VideoConfig, processor: VideoProcessor | None = None, summary_only: bool = False):
        super().__init__()
        if config.rate is None:
            raise UserError("A video encoder needs the option 'rate' in frames a second; state it, or build from data.")
        self.config, self.summary_only = config, summary_only
        self.image = IMAGES[config.image.encoder](config.image.resolved())
        self.frozen = self.image.pretrained if config.frozen is None else config.frozen
        size, fit = self.image.processor.settings.size, self.image.processor.settings.fit
        settings = VideoSettings(
            rate=config.rate, frames=config.frames, size=size, fit=fit, augmentation=config.augmentation
        )
        self.processor = processor or VideoProcessor(settings)
        self.dim = self.image.dim
        if config.over != "mean":
            self.dim = config.width
            self.frames = FrameTokens(self.image.dim, config.width, _side(self.image, config.grid))
            self.time = Seconds(config.width)
            self.dropout = nn.Dropout(config.dropout)
            layers = (config.width, config.depth, config.heads, config.dropout)
            reads_all = config.over == "transformer"
            self.over = Transformer(*layers) if reads_all else Convolutions(*layers[:2], config.dropout)
        self.requires_grad_()
        self.train()

    @property
    def pretrained(self) -> bool:
        """Whether all of it was learned elsewhere: a frozen, pretrained image encoder with nothing to learn over it."""
        return self.frozen and self.image.pretrained and self.config.over == "mean"

    def requires_grad_(self, requires_grad: bool = True) -> "VideoFrames":
        """Sets whether it is trained; a frozen image encoder never is."""
        super().requires_grad_(requires_grad)
        self.image.requires_grad_(requires_grad and not self.frozen)
        return self

    def train(self, mode: bool = True) -> "VideoFrames":
        """Sets the mode of everything but a frozen image encoder, which stays in evaluation mode."""
        super().train(mode)
        self.image.train(mode and not self.frozen)
        return self

    @classmethod
    def build(
        cls, config: VideoConfig, values: Iterable[Any], facts: dict[str, float], summary_only: bool = False
    ) -> "VideoFrames":
        """An encoder for training: unstated rate and size are taken from `facts`, the image encoder's weights are read;
        `values` are not."""
        small = {name: min(facts.get(name, _MOST_SIDE), _MOST_SIDE) for name in ("height", "width")}
        image = IMAGES[config.image.encoder].build(config.image.resolved(), [], small)
        seconds, film_rate = facts.get("seconds", 10.0), facts.get("rate", 1000.0)
        rate = config.rate or min(film_rate, config.frames / max(seconds, 0.01))
        frame = FrameConfig(encoder=config.image.encoder, config=image.config.model_dump(mode="json"))
        encoder = cls(config.model_copy(update={"rate": rate, "image": frame}), summary_only=summary_only)
        encoder.image.load_state_dict(image.state_dict())
        return encoder

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, F, 3, H, W], `seconds` float [B, F], `mask` bool [B, F] -> Features of T = F tokens (1 if
        summary_only)."""
        mask = inputs["mask"]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            pixels = inputs["pixels"][mask]  # [frames of all films, 3, H, W]
            frames = self.image({"pixels": pixels, "mask": mask.new_ones(len(pixels), 1)})
        if self.config.over == "mean":
            return summarise(_scatter(frames.pooled.float(), mask), mask, "mean", self.summary_only)
        tokens = self.frames(frames, mask) + self.time(inputs["seconds"])  # [B, F, D]
        tokens = self.over(self.dropout(torch.where(mask[..., None], tokens, 0.0)), mask)
        return summarise(tokens, mask, "mean", self.summary_only)


class FrameTokens(nn.Module):
    """The features of each frame as one token: its summary, a coarse map, and what moved since the last frame.

    The map has `side` by `side` positions; the maximum over all positions is added, because a mean loses what is small.
    What moved is read by detectors u(now) v(before) - v(now) u(before), whose sign is the direction
    (Hassenstein and Reichardt 1956): u and v are learned, three positions wide, and a detector's answer is its mean
    over the frame. In the first frame, and where nothing moves, it is zero."""

    def __init__(self, image_dim: int, dim: int, side: int):
        super().__init__()
        channels = max(8, dim // 2)
        self.side = side
        self.norm, self.summary_norm = nn.LayerNorm(image_dim), nn.LayerNorm(image_dim)
        self.narrow = nn.Linear(image_dim, channels)
        self.places = nn.Linear(channels * side * side, dim)
        self.peak = nn.Linear(channels, dim, bias=False)
        self.pairs = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        self.moves = nn.Linear(channels, dim, bias=False)
        self.summary = nn.Linear(image_dim, dim, bias=False)

    def forward(self, frames: Features, mask: Tensor) -> Tensor:
        """Features of N frames, those where `mask`, bool [B, F], is True -> float32 [B, F, D]."""
        size = math.isqrt(frames.tokens.shape[1])
        # Class and register tokens come before the positions and are left out.
        maps = self.narrow(self.norm(frames.tokens[:, -size * size :].float())).float()
        maps = maps.transpose(1, 2).unflatten(2, (size, size))  # [N, channels, size, size]
        coarse = nn.functional.adaptive_avg_pool2d(maps, self.side).flatten(1)  # [N, channels * side * side]
        tokens = self.places(coarse) + self.peak(maps.amax(dim=(2, 3)))
        tokens = tokens + self.summary(self.summary_norm(frames.pooled.float()))
        return _scatter(tokens.float(), mask) + self._motion(maps, mask)

    def _motion(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Maps [N, channels, size, size] -> float32 [B, F, D], zero in the first frame of each film."""
        pairs = _scatter(self.pairs(maps).flatten(2).float(), mask)  # [B, F, 2 * channels, size * size]
        u, v = pairs.chunk(2, dim=2)
        motion = (u[:, 1:] * v[:, :-1] - v[:, 1:] * u[:, :-1]).mean(dim=-1)  # [B, F - 1, channels]
        return nn.functional.pad(self.moves(motion).float(), (0, 0, 1, 0))  # [B, F, D]


class Seconds(nn.Module):
    """A learned map of the sines and cosines of a time, of periods from an eighth of a second to 16 seconds."""

    def __init__(self, dim: int):
        super().__init__()
        periods = 0.125 * 2.0 ** torch.arange(_SCALES)
        self.register_buffer("frequency", 2 * math.pi / periods, persistent=False)
        self.map = nn.Linear(2 * _SCALES, dim)

    def forward(self, seconds: Tensor) -> Tensor:
        """float [B, F] -> float [B, F, D]."""
        angle = seconds[..., None] * self.frequency  # [B, F, scales]
        return self.map(torch.cat([angle.sin(), angle.cos()], dim=-1))


class Convolutions(nn.Module):
    """`depth` residual convolutions over three frames each and a last LayerNorm, independent of padding."""

    def __init__(self, dim: int, depth: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(depth))
        self.layers = nn.ModuleList(nn.Conv1d(dim, dim, 3, padding=1) for _ in range(depth))
        self.dropout, self.last = nn.Dropout(dropout), nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """float32 [B, F, D], `mask` bool [B, F] -> the same shape."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            y = torch.where(mask[..., None], norm(x), 0.0).transpose(1, 2)  # [B, D, F]
            x = x + self.dropout(nn.functional.silu(layer(y))).transpose(1, 2)  # [B, F, D]
        return self.last(x)


def _scatter(values: Tensor, mask: Tensor) -> Tensor:
    """Values [N, ...] of the frames where `mask`, bool [B, F], is True -> [B, F, ...], zero elsewhere."""
    out = values.new_zeros(*mask.shape, *values.shape[1:])
    out[mask] = values
    return out


@torch.no_grad()
def _side(image: nn.Module, grid: int) -> int:
    """The side of the map for `grid`: no finer than the image encoder's own, which a black picture shows."""
    size, mode = image.processor.settings.size, image.training
    black = {"pixels": torch.zeros(1, 3, size, size, dtype=torch.uint8), "mask": torch.ones(1, 1, dtype=torch.bool)}
    side = math.isqrt(image.eval()(black).tokens.shape[1])
    image.train(mode)
    return min(grid, side)
