"""From a series to tensors: standardised values, gap flags and times, at most so many readings."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.processor_files import read_settings, write_settings
from sensorium.features import Series

FARTHEST = 1e6  # scales from the median; keeps float32 finite whatever the value
MOST_RECORDS, READINGS_EACH = 2048, 128  # from which the medians and spreads are computed


class Channel(BaseModel, frozen=True, extra="forbid"):
    """Statistics of a channel in the training series: x is read as (x - median) / scale."""

    name: str
    median: float
    scale: float = Field(gt=0)


class SeriesAugmentation(BaseModel, frozen=True, extra="forbid"):
    """How a training series is changed.

    jitter: noise on every value, in scales of its channel. drop: share of the readings left out, never all."""

    jitter: float = Field(0.05, ge=0)
    drop: float = Field(0.1, ge=0, lt=1)


class SeriesProcessor:
    """A Series → `values` float32 [L, C] (standardised, 0 in a gap), `gaps` bool [L, C], `times` float64 [L]. Times are
    seconds since the first reading; the date is not used. More than `max_readings` readings are averaged in as many
    runs of consecutive ones, each run's time too; gaps do not count."""

    def __init__(
        self,
        channels: list[Channel],
        max_readings: int,
        augmentation: SeriesAugmentation | None = SeriesAugmentation(),  # noqa: B008 (frozen)
    ):
        self.channels, self.max_readings, self.augmentation = channels, max_readings, augmentation
        self.decoding: dict[str, Any] = {"channels": [channel.name for channel in channels]}
        self._median = np.array([channel.median for channel in channels])  # [C]
        self._scale = np.array([channel.scale for channel in channels])  # [C]

    def __call__(self, value: Series, augment: bool = False) -> dict[str, Tensor]:
        """One decoded series, its channels those of training; `augment` draws from torch's global random state."""
        times, values = value.times, value.values
        augmentation = self.augmentation if augment else None
        if augmentation is not None and augmentation.drop:
            keep = torch.rand(len(times)).numpy() >= augmentation.drop
            times, values = (times[keep], values[keep]) if keep.any() else (times, values)
        times, values = averaged(times, values, self.max_readings)
        scaled = ((values - self._median) / self._scale).clip(-FARTHEST, FARTHEST)
        gaps = np.isnan(scaled)
        values = torch.from_numpy(np.where(gaps, 0.0, scaled).astype(np.float32))  # [L, C]
        if augmentation is not None and augmentation.jitter:
            values = values + augmentation.jitter * torch.randn(values.shape) * torch.from_numpy(~gaps)
        return {"values": values, "gaps": torch.from_numpy(gaps), "times": torch.from_numpy(times - times[0])}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`values` and `gaps` [B, L, C], `times` and `mask` [B, L], L the longest's; None is absent."""
        channels = (len(self.channels),)
        values, mask = pad_sequences(column(items, "values"), channels)
        gaps, _ = pad_sequences(column(items, "gaps"), channels, torch.bool, fill=True)
        times, _ = pad_sequences(column(items, "times"), dtype=torch.float64)
        return {"values": values, "gaps": gaps, "times": times, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes processor.json into `folder`."""
        settings = {"channels": [channel.model_dump() for channel in self.channels], "max_readings": self.max_readings}
        write_settings(folder, settings, self.augmentation)

    @classmethod
    def load(cls, folder: Path) -> "SeriesProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = read_settings(folder, SeriesAugmentation)
        channels = [Channel(**channel) for channel in settings["channels"]]
        return cls(channels, settings["max_readings"], settings["augmentation"])


def averaged(times: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """times float64 [L], values float32 [L, C] → at most `most` of them: runs of consecutive readings as their mean.
    Gaps do not count in a mean; the mean of a run of gaps alone is a gap."""
    if len(times) <= most:
        return times, values
    starts = np.arange(most) * len(times) // most  # [most]
    counts = np.diff(starts, append=len(times))
    real = ~np.isnan(values)
    sums = np.add.reduceat(np.where(real, values, 0.0).astype(np.float64), starts, axis=0)
    real_counts = np.add.reduceat(real.astype(np.int64), starts, axis=0)
    means = np.where(real_counts > 0, sums / np.maximum(real_counts, 1), np.nan)
    middle = times[0] + np.add.reduceat(times - times[0], starts) / counts
    return middle, means.astype(np.float32)


class SeriesStatistics(NamedTuple):
    """Of training series: the channels, and in seconds the median step between readings and the longest span."""

    channels: list[Channel]
    step: float
    span: float


def describe_series(series: Iterable[Series], max_readings: int) -> SeriesStatistics:
    """Statistics of training series, which are read once, in bounded memory. Raises ValueError when some have named
    channels and others none, or they have no names and differ in number."""
    names: dict[str, None] = {}
    # Every k-th series is sampled; when there are too many samples, every other one goes and k doubles.
    samples, every, span, first = [], 1, 0.0, None
    for i, record in enumerate(series):
        if first is None:
            first = record
        _check_alike(first, record)
        names |= dict.fromkeys(record.channels)
        span = max(span, float(record.times[-1] - record.times[0]))
        if i % every == 0:
            samples.append(_sample(record, max_readings))
        if len(samples) == 2 * MOST_RECORDS:
            samples, every = samples[::2], 2 * every
    steps = np.concatenate([steps for _, steps in samples]) if samples else np.zeros(0)
    steps = steps[steps > 0]
    step = float(np.median(steps)) if len(steps) else span or 1.0
    channels = [_channel(name, [values for values, _ in samples]) for name in names]
    return SeriesStatistics(channels, step, max(span, step))


def _check_alike(first: Series, record: Series) -> None:
    if record.named != first.named:
        raise ValueError("some of its series name their channels and others do not; name them in all, or in none")
    if not record.named and len(record.channels) != len(first.channels):
        raise ValueError(
            f"some of its series have {len(first.channels)} values a reading and others {len(record.channels)};"
            " name the channels, as columns with a 'time', so that they can be told apart"
        )


def _sample(series: Series, max_readings: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Some of the values by channel, and the steps between the readings that the encoder will see."""
    # A copy, because a view would keep the whole series in memory.
    values = series.values[:: -(-len(series.times) // READINGS_EACH)].copy()  # [l, C]
    times, _ = averaged(series.times, series.values, max_readings)
    steps = np.diff(times)
    return dict(zip(series.channels, values.T, strict=True)), steps[:: -(-len(steps) // READINGS_EACH) or 1]


def _channel(name: str, samples: Sequence[dict[str, np.ndarray]]) -> Channel:
    """Median and interquartile range; half the range where that is zero, and 1 where that is too."""
    readings = [sample[name] for sample in samples if name in sample] or [np.zeros(0, np.float32)]
    values = np.concatenate(readings).astype(np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Channel(name=name, median=0.0, scale=1.0)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Channel(name=name, median=median, scale=(high - low) or float(np.ptp(values)) / 2 or 1.0)
