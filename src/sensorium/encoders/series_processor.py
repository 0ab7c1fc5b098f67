"""From a series to tensors: standardised values, gap flags and times, at most so many readings."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sensorium.features import Series

FARTHEST = 1e6  # scales from the median; keeps float32 finite whatever the value
MOST_RECORDS, READINGS_EACH = 2048, 128  # of which the medians and spreads are taken


class Channel(BaseModel):
    """What training said of a channel: x is read as (x - median) / scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    median: float
    scale: float = Field(gt=0)


class SeriesAugmentation(BaseModel):
    """How a training series is changed.

    jitter: noise on every value, in scales of its channel. drop: share of the readings left out, never all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jitter: float = Field(0.05, ge=0)
    drop: float = Field(0.1, ge=0, lt=1)


class SeriesProcessor:
    """A Series → `values` float32 [L, C] (standardised, 0 in a gap), `gaps` bool [L, C], `times` float64 [L].

    Times are seconds since the first reading: the date it was taken on is not used. Of more than `max_readings`
    readings, as many runs of consecutive ones are averaged, each run's time too; gaps do not count.
    """

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
        chance = self.augmentation if augment else None
        if chance is not None and chance.drop:
            kept = torch.rand(len(times)).numpy() >= chance.drop
            times, values = (times[kept], values[kept]) if kept.any() else (times, values)
        times, values = averaged(times, values, self.max_readings)
        scaled = ((values - self._median) / self._scale).clip(-FARTHEST, FARTHEST)
        gaps = np.isnan(scaled)
        values = torch.from_numpy(np.where(gaps, 0.0, scaled).astype(np.float32))  # [L, C]
        if chance is not None and chance.jitter:
            values = values + chance.jitter * torch.randn(values.shape) * torch.from_numpy(~gaps)
        return {"values": values, "gaps": torch.from_numpy(gaps), "times": torch.from_numpy(times - times[0])}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`values` and `gaps` [B, L, C], `times` and `mask` [B, L], L the longest's; None is absent."""
        lengths = torch.tensor([0 if item is None else len(item["times"]) for item in items])  # [B]
        shape = (len(items), max(1, int(lengths.max())))
        values, gaps = torch.zeros(*shape, len(self.channels)), torch.ones(*shape, len(self.channels), dtype=torch.bool)
        times = torch.zeros(shape, dtype=torch.float64)
        batch = {"values": values, "gaps": gaps, "times": times}
        for row, (item, length) in enumerate(zip(items, lengths.tolist(), strict=True)):
            for name, tensor in batch.items() if item is not None else ():
                tensor[row, :length] = item[name]
        return batch | {"mask": torch.arange(shape[1]) < lengths[:, None]}

    def save(self, folder: Path) -> None:
        """Writes processor.json into `folder`."""
        settings = {
            "channels": [channel.model_dump() for channel in self.channels],
            "max_readings": self.max_readings,
            "augmentation": None if self.augmentation is None else self.augmentation.model_dump(),
        }
        (Path(folder) / "processor.json").write_text(json.dumps(settings, indent=1, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SeriesProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = json.loads((Path(folder) / "processor.json").read_text("utf-8"))
        augmentation = settings["augmentation"]
        return cls(
            [Channel(**channel) for channel in settings["channels"]],
            settings["max_readings"],
            None if augmentation is None else SeriesAugmentation(**augmentation),
        )


def averaged(times: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """times float64 [L], values float32 [L, C] → at most `most` of them: runs of consecutive readings as their mean.

    A gap counts for nothing in it; a run of nothing but gaps is one.
    """
    if len(times) <= most:
        return times, values
    starts = np.arange(most) * len(times) // most  # [most]
    counts = np.diff(starts, append=len(times))
    there = ~np.isnan(values)
    sums = np.add.reduceat(np.where(there, values, 0.0).astype(np.float64), starts, axis=0)
    real = np.add.reduceat(there.astype(np.int64), starts, axis=0)
    means = np.where(real > 0, sums / np.maximum(real, 1), np.nan)
    middle = times[0] + np.add.reduceat(times - times[0], starts) / counts
    return middle, means.astype(np.float32)


class Learned(NamedTuple):
    """What training series say: their channels, and the median step and the longest span between readings, seconds."""

    channels: list[Channel]
    step: float
    span: float


def describe(series: Iterable[Series], max_readings: int) -> Learned:
    """Learns from training series, gone through once, in bounded memory. Raises ValueError when some have named
    channels and others none, or they have no names and differ in number."""
    known: dict[str, None] = {}
    kept, every, span, first = [], 1, 0.0, None
    for place, one in enumerate(series):
        if first is None:
            first = one
        _check_alike(first, one)
        known |= dict.fromkeys(one.channels)
        span = max(span, float(one.times[-1] - one.times[0]))
        if place % every == 0:
            kept.append(_thinned(one, max_readings))
        if len(kept) == 2 * MOST_RECORDS:
            kept, every = kept[::2], 2 * every
    steps = np.concatenate([steps for _, steps in kept]) if kept else np.zeros(0)
    steps = steps[steps > 0]
    step = float(np.median(steps)) if len(steps) else span or 1.0
    return Learned([_channel(name, [values for values, _ in kept]) for name in known], step, max(span, step))


def _check_alike(first: Series, one: Series) -> None:
    if one.named != first.named:
        raise ValueError("some of its series name their channels and others do not; name them in all, or in none")
    if not one.named and len(one.channels) != len(first.channels):
        raise ValueError(
            f"some of its series have {len(first.channels)} values a reading and others {len(one.channels)};"
            " name the channels, as columns with a 'time', so that they can be told apart"
        )


def _thinned(series: Series, max_readings: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Some of the values by channel, and the steps between the readings that the encoder will see."""
    # A copy, for a view would keep the whole series.
    some = series.values[:: -(-len(series.times) // READINGS_EACH)].copy()  # [l, C]
    times, _ = averaged(series.times, series.values, max_readings)
    steps = np.diff(times)
    return dict(zip(series.channels, some.T, strict=True)), steps[:: -(-len(steps) // READINGS_EACH) or 1]


def _channel(name: str, kept: Sequence[dict[str, np.ndarray]]) -> Channel:
    """Median and interquartile range; half the range where that is zero, and 1 where that is too."""
    values = np.concatenate([one[name] for one in kept if name in one] or [np.zeros(0, np.float32)]).astype(np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Channel(name=name, median=0.0, scale=1.0)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Channel(name=name, median=median, scale=(high - low) or float(np.ptp(values)) / 2 or 1.0)
