"""Bootstrap intervals: a metric is a function of row weights, a resample is a column of them, and many run at once."""

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

import numpy as np

Metric = Callable[[np.ndarray], np.ndarray]
"""Row weights, float [N, R], one column a resample -> the metric in each resample, float [R], NaN where undefined."""

CONFIDENCE = 0.95  # share of the resamples that every interval holds
CONFIDENCE_PERCENT = f"{100 * CONFIDENCE:.0f} %"
INTERVAL = f"{CONFIDENCE_PERCENT} interval"
"""How tables and plots call an interval."""

CHUNK_ELEMENTS = 4_000_000  # weights held at once: 16 MB in float32


class Value(NamedTuple):
    """A metric with its interval (see `interval`) and its chance level. None: undefined on these rows."""

    value: float | None
    low: float | None
    high: float | None
    chance: float | None = None


class Resamples:
    """`count` bootstrap resamples of `rows` rows (Efron 1979), drawn by whole clusters when there are clusters.

    clusters: [rows], anything that sorts; rows of one cluster are drawn together. A seed always gives the same
    resamples. Weights are whole numbers, how often a row was drawn; float32 holds them and their sums exactly below
    2**24 rows. `units` is how many rows or clusters there are to draw from.
    """

    def __init__(self, rows: int, clusters: np.ndarray | None = None, count: int = 2000, seed: int = 0):
        self.rows, self.count, self.seed = rows, count, seed
        self.cluster = None if clusters is None else np.unique(clusters, return_inverse=True)[1]
        self.units = rows if self.cluster is None else int(self.cluster.max(initial=-1)) + 1

    def chunks(self) -> Iterator[np.ndarray]:
        """The weights, float32 [rows, R], in chunks whose R add up to `count`."""
        generator = np.random.default_rng(self.seed)
        size = max(1, CHUNK_ELEMENTS // max(1, self.rows))
        for start in range(0, self.count, size):
            drawn = np.empty((min(size, self.count - start), self.units), np.float32)
            for row in drawn:
                row[:] = np.bincount(generator.integers(0, self.units, self.units), minlength=self.units)
            weights = np.ascontiguousarray(drawn.T)  # [units, R]
            yield weights if self.cluster is None else weights[self.cluster]


def point(metric: Metric, rows: int) -> float:
    """The metric on the rows as they are, in double precision; NaN where it is undefined."""
    return float(metric(np.ones((rows, 1)))[0])


def distribution(metrics: dict[Hashable, Metric], resamples: Resamples) -> dict[Hashable, np.ndarray]:
    """Every metric in every one of the same resamples, each float64 [resamples.count]."""
    chunks = {key: [] for key in metrics}
    for weights in resamples.chunks():
        for key, metric in metrics.items():
            chunks[key].append(metric(weights))
    return {key: np.concatenate(pieces).astype(np.float64) for key, pieces in chunks.items()}


def interval(values: np.ndarray, units: int = 2) -> tuple[float | None, float | None]:
    """The percentiles between which CONFIDENCE of the resamples lie, of those, [R], in which the metric is defined.

    (None, None) when it is defined in fewer than half of them, or when there were fewer than two `units` to draw from.
    """
    defined = values[np.isfinite(values)]
    if units < 2 or len(defined) < max(1, len(values) / 2):
        return None, None
    low, high = np.percentile(defined, [50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE])
    return float(low), float(high)


def summary(estimate: float, drawn: np.ndarray, units: int = 2, chance: float | None = None) -> Value:
    """A Value from `estimate`, the metric on the rows as they are, and `drawn`, [R], that in the resamples; NaN becomes
    None.
    """
    return Value(finite(estimate), *interval(drawn, units), chance)


def finite(number: float) -> float | None:
    """The number, or None where it is NaN or infinite: JSON knows neither."""
    return float(number) if np.isfinite(number) else None


def paired(a: np.ndarray, b: np.ndarray, clusters: np.ndarray | None = None, count: int = 2000, seed: int = 0) -> Value:
    """The mean of a - b, two per-sample scores [N] of the same rows, with its bootstrap interval.

    clusters: [N], rows of one cluster are drawn together. An interval above zero: a is better than b by more than the
    choice of rows explains. Its chance level is 0. No rows: all None but that.
    """
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    if len(difference) == 0:
        return Value(None, None, None, 0.0)
    resamples = Resamples(len(difference), clusters, count, seed)
    metric = mean(difference)
    drawn = distribution({"difference": metric}, resamples)["difference"]
    return summary(point(metric, len(difference)), drawn, resamples.units, 0.0)


def mean(values: np.ndarray) -> Metric:
    """The weighted mean of per-sample values [N]."""
    # Resamples run in float32, whose range must hold any values.
    scale = max(float(np.abs(values).max(initial=0.0)), float(np.finfo(np.float32).tiny))
    rows = np.stack([values / scale, np.ones(len(values))])  # [2, N]

    def metric(weights: np.ndarray) -> np.ndarray:
        total, count = rows.astype(weights.dtype) @ weights
        return total.astype(np.float64) / count * scale

    return metric
