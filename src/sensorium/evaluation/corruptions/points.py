"""Corrupted sets of points, float32 [L, C]: noise, lost points."""

import numpy as np

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption, draw_remaining, plain, shares


def points_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """White noise in each coordinate, points dropped."""
    return [
        Corruption("noise", "standard deviations of the set", plain(0.01, 0.02, 0.05, 0.1, 0.2), _add_noise),
        Corruption("lost points", "share of points", shares(0.1, 0.2, 0.4, 0.6, 0.8), _drop_points),
    ]


def _add_noise(points: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.standard_normal(points.shape) * points.std(axis=0) * strength
    return (points + noise).astype(np.float32)


def _drop_points(points: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    return points[draw_remaining(len(points), strength, generator)]
