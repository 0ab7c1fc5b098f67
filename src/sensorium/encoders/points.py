"""Sets of points: a network on each point that knows of all others only through their maximum and mean."""

from collections.abc import Iterable

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.encoders.points_processor import PointsAugmentation, PointsProcessor, PointsScale, describe_points
from sensorium.encoders.pooling import as_features, pool
from sensorium.errors import UserError
from sensorium.features import Features


class PointsConfig(BaseModel, frozen=True, extra="forbid"):
    """A points encoder's normalisation and shape.

    scale:       from the training sets: the centre, one scale for all coordinates, so that shapes keep their
                 proportions, and one for each further number; None lets `build` compute it.
    coordinates: how many of a point's numbers are coordinates; None is all of two or three, else the first three.
    width:       of a token. depth: rounds in which each point learns of the others.
    max_points:  from larger sets, training draws so many points and prediction takes every k-th of the sorted ones.
    augmentation: how training moves points and leaves some out; None for nothing."""

    scale: PointsScale | None = None
    coordinates: int | None = Field(None, ge=1)
    width: int = Field(64, ge=1)
    depth: int = Field(3, ge=1)
    max_points: int = Field(1024, ge=2)
    dropout: float = Field(0.1, ge=0, lt=1)
    augmentation: PointsAugmentation | None = PointsAugmentation()


class PointsEncoder(nn.Module):
    """Permutation equivariant layers on a set of points, then its maximum and its mean: the order of the points does
    not change the output (Zaheer et al. 2017, arXiv:1703.06114; Qi et al. 2017, arXiv:1612.00593).

    A point enters with its coordinates, those from the set's mean, and its further numbers, softly bounded. Raises
    UserError when the config has no scale (only `build` computes it)."""

    Config = PointsConfig
    Processor = PointsProcessor
    modality = "points"
    pretrained = False

    def __init__(self, config: PointsConfig, processor: PointsProcessor | None = None, summary_only: bool = False):
        super().__init__()
        if config.scale is None:
            raise UserError("A points encoder needs the option 'scale'; state it, or build it from data.")
        self.config, self.summary_only, self.dim = config, summary_only, config.width
        self.processor = processor or PointsProcessor(config.scale, config.max_points, config.augmentation)
        self.coordinates = config.scale.coordinates
        self.first = nn.Linear(len(config.scale.centre) + self.coordinates, config.width)
        self.layers = nn.ModuleList(_Layer(config.width, config.dropout) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.summary = nn.Linear(2 * config.width, config.width)

    @classmethod
    def build(
        cls, config: PointsConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "PointsEncoder":
        """An encoder for training: an unstated scale comes from the training sets `values`, float32 [P, C] each. Raises
        ValueError when they differ in C, or have fewer numbers than the stated coordinates."""
        scale = config.scale or describe_points(values, config.coordinates)
        return cls(config.model_copy(update={"scale": scale}), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`points` float [B, P, C] and `mask` bool [B, P] → Features of T = P tokens (one when summary_only)."""
        mask = inputs["mask"]
        points = torch.where(mask[:, :, None], inputs["points"].float(), 0.0)  # [B, P, C]
        position = points[:, :, : self.coordinates]
        inner = position - pool(position, mask, "mean")[:, None]  # [B, P, coordinates]
        x = self.first(torch.cat([points.asinh(), inner.asinh()], dim=2)).float()  # [B, P, D]
        for layer in self.layers:
            x = layer(x, mask)
        tokens = self.norm(x)
        pooled = self.summary(_maximum_and_mean(tokens, mask)).float()
        return as_features(torch.where(mask[:, :, None], tokens, 0.0), mask, pooled, self.summary_only)


class _Layer(nn.Module):
    """A perceptron on each point, which also reads the maximum and the mean of all points; added to its input."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, 2 * width)
        self.others = nn.Linear(2 * width, 2 * width, bias=False)
        self.out = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """float32 [B, P, D], mask bool [B, P] → the same shape."""
        y = self.norm(x)
        return x + self.out(self.own(y) + self.others(_maximum_and_mean(y, mask))[:, None]).float()


def _maximum_and_mean(x: Tensor, mask: Tensor) -> Tensor:
    """float [B, P, D] → float32 [B, 2 D]: the maximum and the mean of the real points; zeros for a row without any."""
    x = x.float()
    maximum = torch.where(mask[:, :, None], x, -torch.inf).amax(dim=1)
    maximum = torch.where(mask.any(dim=1, keepdim=True), maximum, 0.0)
    return torch.cat([maximum, pool(torch.where(mask[:, :, None], x, 0.0), mask, "mean")], dim=1)
