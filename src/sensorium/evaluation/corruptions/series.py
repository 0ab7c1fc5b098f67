"""Corrupted series of readings, times [L] and values [L, C]: noise, gaps."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption, draw_remaining, plain, shares


def series_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """White noise in each channel, readings dropped."""
    return [
        Corruption("noise", "standard deviations of the channel", plain(0.1, 0.25, 0.5, 1, 2), _add_noise),
        Corruption("gaps", "share of readings lost", shares(0.1, 0.2, 0.4, 0.6, 0.8), _drop_readings),
    ]


def _add_noise(series: Any, strength: float, generator: np.random.Generator) -> Any:
    spread = np.nan_to_num(pd.DataFrame(series.values).std().to_numpy())  # [C]
    noise = generator.standard_normal(series.values.shape) * spread * strength
    return series._replace(values=(series.values + noise).astype(series.values.dtype))


def _drop_readings(series: Any, strength: float, generator: np.random.Generator) -> Any:
    remaining = draw_remaining(len(series.times), strength, generator)
    return series._replace(times=series.times[remaining], values=series.values[remaining])
