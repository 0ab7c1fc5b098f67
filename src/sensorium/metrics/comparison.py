"""Which of several candidates is better: every two by their scores on the same samples, corrected for their number."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from sensorium.metrics.resampling import Resamples, Value, distribution, mean, summary

FLIPS = 9_999
FLIPS_AT_ONCE = 2**25  # signs held at once: 128 MB in float32
LEVEL = 0.05


class Difference(NamedTuple):
    """How much better `a` is than `b`.

    value:     the mean of a - b over samples, with its bootstrap interval; its chance level is 0.
    p:         two-sided, that signs drawn by chance give a difference as large.
    corrected: `p` with Holm's correction for all the comparisons made.
    """

    a: str
    b: str
    value: Value
    p: float
    corrected: float

    @property
    def significant(self) -> bool:
        """Whether the two differ at the level .05, all comparisons together."""
        return self.corrected < LEVEL


def compare_all(
    scores: dict[str, np.ndarray], clusters: np.ndarray | None = None, count: int = 2000, seed: int = 0
) -> list[Difference]:
    """Every two of the candidates by their scores, float [N] each, of the same N samples; higher is better.

    clusters: [N], samples of one stand or fall together, in the interval and in the test. The test flips the sign of
    each cluster's difference by chance (Fisher's randomisation test, paired), exactly when there are few clusters;
    the interval is of `count` resamples. Holm (1979) keeps the chance of any false difference below the level.
    """
    names = list(scores)
    values = np.stack([np.asarray(scores[name], np.float64) for name in names], axis=1)  # [N, M]
    rows = len(values)
    cluster = np.arange(rows) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    sums = np.zeros((int(cluster.max(initial=-1)) + 1, len(names)))
    np.add.at(sums, cluster, values - values.mean(axis=1, keepdims=True))  # [clusters, M]
    pairs = list(combinations(range(len(names)), 2))
    p = _flipped(sums, pairs, seed)
    resamples = Resamples(rows, clusters, count, seed)
    metrics = {pair: mean(values[:, pair[0]] - values[:, pair[1]]) for pair in pairs}
    differences = distribution(metrics, resamples)
    return [
        Difference(
            names[a],
            names[b],
            summary(float((values[:, a] - values[:, b]).mean()), differences[a, b], resamples.units, 0.0),
            float(p_value),
            float(corrected),
        )
        for (a, b), p_value, corrected in zip(pairs, p, holm(p), strict=True)
    ]


def holm(p: np.ndarray) -> np.ndarray:
    """float [P]: the p-values with Holm's step-down correction for all P of them."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _flipped(sums: np.ndarray, pairs: list[tuple[int, int]], seed: int) -> np.ndarray:
    """float [pairs]: the share of sign patterns under which a pair's difference is as large as it is.

    sums: float64 [clusters, M], the candidates' scores summed over each cluster. The observed pattern is among those
    drawn, so that no share is zero (Phipson and Smyth 2010).
    """
    clusters = len(sums)
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    observed = np.abs(sums[:, first].sum(axis=0) - sums[:, second].sum(axis=0))  # [pairs]
    reached, total = np.zeros(len(pairs)), 0
    for signs in _signs(clusters, seed):  # [flips, clusters]
        flipped = signs @ sums  # [flips, M]
        reached += (np.abs(flipped[:, first] - flipped[:, second]) >= observed - 1e-9 * (1 + observed)).sum(axis=0)
        total += len(signs)
    return reached / total


def _signs(clusters: int, seed: int) -> Iterator[np.ndarray]:
    """Patterns of 1 and -1, float32 [flips, clusters]: all of them where they are few, else the observed and FLIPS."""
    if 2**clusters <= FLIPS + 1:
        patterns = np.arange(2**clusters)[:, None] >> np.arange(clusters)
        yield 1 - 2 * (patterns & 1).astype(np.float32)
        return
    yield np.ones((1, clusters), np.float32)
    generator, size = np.random.default_rng(seed), max(1, FLIPS_AT_ONCE // clusters)
    for start in range(0, FLIPS, size):
        drawn = generator.integers(0, 2, (min(size, FLIPS - start), clusters), dtype=np.int8)
        yield 1 - 2 * drawn.astype(np.float32)
