"""Pictures from scratch: capsules over convolutions, which agree on how parts are arranged."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import Fit, ImageProcessor, Interpolation, Jpeg, settings_of
from sensorium.encoders.pixels import Normalise, needs_size, size_from
from sensorium.encoders.pooling import as_features
from sensorium.features import Features
from sensorium.nn.capsules import Capsules, squash
from sensorium.nn.convolution import Residual, group_norm

LARGEST_MAP = 6  # positions a side from which parts are taken; the weights grow with its square


class ImageCapsulesConfig(BaseModel, frozen=True, extra="forbid"):
    """A capsule network's shape.

    size:       the side of the square each picture is brought to, in pixels; None lets `build` take it from the data,
                at most 64.
    channels:   of the convolutions. parts: kinds of part looked for at each position of the last map, each of
                `part_dim` numbers.
    capsules:   wholes that the parts are routed to, each of `capsule_dim` numbers. iterations: of the routing.
    width:      of the tokens, one a capsule.
    fit, interpolation, jpeg, augmentation: see ImageSettings.
    mean, std:  by channel (RGB, of values in [0, 1]), what is subtracted and divided by."""

    size: int | None = Field(None, ge=8, le=256)
    fit: Fit = "squash"
    interpolation: Interpolation = "bicubic"
    jpeg: Jpeg = "reduced"
    augmentation: ImageAugmentation | None = ImageAugmentation()
    channels: int = Field(64, ge=8, multiple_of=8)
    parts: int = Field(8, ge=1)
    part_dim: int = Field(8, ge=1)
    capsules: int = Field(16, ge=1)
    capsule_dim: int = Field(16, ge=1)
    iterations: int = Field(3, ge=1, le=10)
    width: int = Field(64, ge=1)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)


class ImageCapsules(nn.Module):
    """Residual convolutions, part capsules at each position of their last map, and capsules that the parts are routed
    to by agreement (Sabour et al. 2017, arXiv:1710.09829). A token is a linear map of a capsule; the summary is a
    perceptron on all tokens.

    Raises UserError when the config's size is None."""

    Config = ImageCapsulesConfig
    Processor = ImageProcessor
    modality = "image"
    pretrained = False

    def __init__(
        self, config: ImageCapsulesConfig, processor: ImageProcessor | None = None, summary_only: bool = False
    ):
        super().__init__()
        size = needs_size(config.size)
        settings = settings_of(config, size)
        self.config, self.processor, self.summary_only = config, processor or ImageProcessor(settings), summary_only
        self.dim = config.width
        self.normalise = Normalise(config.mean, config.std)
        self.stem = nn.Conv2d(3, config.channels, 3, padding=1)
        # Each block halves the map, until it is small enough for part capsules at every position.
        blocks = []
        while size > LARGEST_MAP or not blocks:
            blocks.append(Residual(config.channels, config.channels, (group_norm, group_norm), stride=2))
            size = -(-size // 2)
        self.blocks = nn.ModuleList(blocks)
        self.norm = group_norm(config.channels)
        self.parts = nn.Conv2d(config.channels, config.parts * config.part_dim, 3, padding=1)
        count = config.parts * size**2
        self.capsules = Capsules(count, config.part_dim, config.capsules, config.capsule_dim, config.iterations)
        # Each capsule has its own map, because its numbers mean other things than those of the next capsule.
        self.token = nn.Conv1d(
            config.capsules * config.capsule_dim, config.capsules * config.width, 1, groups=config.capsules
        )
        self.summary = nn.Sequential(nn.GELU(), nn.Linear(config.capsules * config.width, config.width))

    @classmethod
    def build(
        cls, config: ImageCapsulesConfig, values: Iterable[Any], facts: dict[str, float], summary_only: bool = False
    ) -> "ImageCapsules":
        """An encoder for training: an unstated size is taken from `facts` (see `size_from`); `values` are not read."""
        size = config.size or size_from(facts, step=4, most=64)
        return cls(config.model_copy(update={"size": size}), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`pixels` uint8 [B, 3, H, W], `mask` bool [B, 1] → Features of T = capsules tokens (1 when summary_only)."""
        x = self.stem(self.normalise(inputs["pixels"])).float()
        for block in self.blocks:
            x = block(x)
        x = self.parts(nn.functional.silu(self.norm(x)))  # [B, parts * part_dim, h, w]
        part_capsules = x.unflatten(1, (self.config.parts, -1)).permute(0, 1, 3, 4, 2).flatten(1, 3)  # [B, N, part_dim]
        wholes = self.capsules(squash(part_capsules)).flatten(1)[:, :, None]  # [B, capsules * capsule_dim, 1]
        tokens = self.token(wholes).float().unflatten(1, (self.config.capsules, -1))[..., 0]  # [B, T, D]
        pooled = self.summary(tokens.flatten(1)).float()
        return as_features(tokens, inputs["mask"], pooled, self.summary_only)
