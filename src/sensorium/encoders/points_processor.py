"""From a set of points to tensors: one scale for all coordinates, and one order, whatever order they come in."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.processor_files import read_settings, write_settings

FARTHEST = 1e6  # scales from the centre; keeps float32 finite whatever the value
MOST_SETS, POINTS_EACH = 2048, 128  # from which centre and scales are computed


class PointsScale(BaseModel, frozen=True, extra="forbid"):
    """Statistics of the points' numbers in the training sets: x is read as (x - centre) / scale, number by number.

    The first `coordinates` of them have one scale, so that no shape is stretched."""

    coordinates: int = Field(ge=1)
    centre: list[float]
    scale: list[float]

    @model_validator(mode="after")
    def _fits(self) -> "PointsScale":
        if len(self.centre) != len(self.scale) or self.coordinates > len(self.scale) or min(self.scale) <= 0:
            raise ValueError("centre and scale have one number for each of a point's, and a scale is above 0")
        return self


class PointsAugmentation(BaseModel, frozen=True, extra="forbid"):
    """jitter: noise on every number of a training set, in its scale. drop: share of the points left out, never all."""

    jitter: float = Field(0.02, ge=0)
    drop: float = Field(0.1, ge=0, lt=1)


class PointsProcessor:
    """float32 [P, C] → `points` float32 [p, C], normalised, p at most `max_points`. The points are sorted by their
    numbers first, so their order does not change one bit of the output. Of too many, prediction takes every k-th of the
    sorted ones, and training draws some at random."""

    def __init__(
        self,
        scale: PointsScale,
        max_points: int,
        augmentation: PointsAugmentation | None = PointsAugmentation(),  # noqa: B008 (frozen)
    ):
        self.scale, self.max_points, self.augmentation = scale, max_points, augmentation
        self.decoding: dict[str, Any] = {"numbers_each": len(scale.centre)}

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One set of points; `augment` draws from torch's global random state."""
        augmentation = self.augmentation if augment else None
        value = value[np.lexsort(value.T[::-1])]
        count = len(value)
        # Fewer points: at random in training, evenly in prediction.
        if augmentation is not None:
            size = min(max(1, round(count * (1 - augmentation.drop))), self.max_points)
            value = value[torch.randperm(count)[:size].sort().values.numpy()]
        elif count > self.max_points:
            value = value[np.arange(self.max_points) * count // self.max_points]
        scaled = (value - np.array(self.scale.centre)) / np.array(self.scale.scale)
        points = torch.from_numpy(scaled.clip(-FARTHEST, FARTHEST).astype(np.float32))  # [p, C]
        if augmentation is not None and augmentation.jitter:
            points = points + augmentation.jitter * torch.randn(points.shape)
        return {"points": points}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`points` float32 [B, P, C], P the most, zero beyond a set's end, and `mask` bool [B, P]; None is absent."""
        points, mask = pad_sequences(column(items, "points"), (len(self.scale.centre),))
        return {"points": points, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes processor.json into `folder`."""
        write_settings(folder, {"scale": self.scale.model_dump(), "max_points": self.max_points}, self.augmentation)

    @classmethod
    def load(cls, folder: Path) -> "PointsProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = read_settings(folder, PointsAugmentation)
        return cls(PointsScale(**settings["scale"]), settings["max_points"], settings["augmentation"])


def describe_points(sets: Iterable[np.ndarray], coordinates: int | None) -> PointsScale:
    """Centre (medians) and scale of training sets, float32 [P, C] each, read once, in bounded memory. Raises ValueError
    when they differ in C, or have fewer numbers than the stated `coordinates`."""
    # Every k-th set is sampled; when there are too many samples, every other one goes and k doubles.
    samples, every, count = [], 1, None
    for i, points in enumerate(sets):
        count = count or points.shape[1]
        if points.shape[1] != count:
            raise ValueError(f"some of its points have {count} numbers and others {points.shape[1]}; give all the same")
        if i % every == 0:
            # A copy, because a view would keep the whole set in memory.
            samples.append(points[:: -(-len(points) // POINTS_EACH)].copy())
        if len(samples) == 2 * MOST_SETS:
            samples, every = samples[::2], 2 * every
    if count is None:
        raise ValueError("none of the training records has points")
    if coordinates is not None and coordinates > count:
        raise ValueError(f"its points have {count} numbers, fewer than the {coordinates} coordinates stated")
    coordinates = coordinates or min(count, 3)
    # Scale: the interquartile range, or half the range where it is zero; one for all coordinates.
    points = np.concatenate(samples).astype(np.float64)  # [N, C]
    low, centre, high = np.quantile(points, [0.25, 0.5, 0.75], axis=0)
    spread = np.where(high > low, high - low, np.ptp(points, axis=0) / 2)
    spread[:coordinates] = spread[:coordinates].max()
    scale = np.where(spread > 0, spread, 1.0)
    return PointsScale(coordinates=coordinates, centre=centre.tolist(), scale=scale.tolist())
