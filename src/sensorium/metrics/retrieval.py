"""Retrieval: how high a ranking of all items puts those that belong to a query; exact with ties, in flat memory.

Where scores tie, each figure is its expectation over all orders of the tied items (McSherry & Najork 2008), so that
embeddings that are all equal score what chance does, neither better nor worse.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

from sensorium.errors import UserError
from sensorium.metrics.ranking import members
from sensorium.metrics.resampling import Metric, Resamples, Value, distribution, point, summary
from sensorium.metrics.shares import measured, share

CUTS = (1, 5, 10)
TILE = 1024  # queries compared with all items at a time, fewer when the items are many
TILE_ELEMENTS = 2**24  # similarities held at once: 64 MB in float32


class RankResult(NamedTuple):
    """How high Q queries rank the items that belong to them, among N items.

    rank:      float64 [Q], the rank of the best right item, 1 the best; a wrong item that ties counts half.
    precision: float64 [Q], average precision over all right items of the query.
    above:     int64 [Q], wrong items that score more than the best right one.
    tied:      int64 [Q, 2], right and wrong items that score the same as the best right one.
    """

    rank: np.ndarray
    precision: np.ndarray
    above: np.ndarray
    tied: np.ndarray

    def within(self, cut: int) -> np.ndarray:
        """float64 [Q]: whether a right item is among the first `cut`; the probability of it where a tie decides."""
        right, wrong = self.tied.T
        return 1 - _none_of(np.clip(cut - self.above, 0, right + wrong), right, right + wrong)


class Direction(NamedTuple):
    """Retrieval from one input to another: the Q different contents of the one are queries, the N of the other items.

    records: int64 [Q], the first record that each query came from.
    right:   int64 [Q], how many items belong to each query.
    items:   N.
    """

    found: RankResult
    records: np.ndarray
    right: np.ndarray
    items: int


class Directions(NamedTuple):
    """Retrieval from the first input to the second, and back."""

    forward: Direction
    backward: Direction


class UniqueItems(NamedTuple):
    """The different contents of two inputs of the same records.

    first_a, first_b: int64 [A] and [B], the first record of each content. pairs: int64 [2, P], which contents of the
    one and of the other belong together, for any record pairs them.
    """

    first_a: np.ndarray
    first_b: np.ndarray
    pairs: np.ndarray

    @property
    def forward(self) -> tuple[np.ndarray, np.ndarray]:
        """The right pairs of query and item, from the first input to the second."""
        return self.pairs[0], self.pairs[1]

    @property
    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        """The right pairs of query and item, from the second input to the first."""
        return self.pairs[1], self.pairs[0]

    def directions(self, forward: RankResult, backward: RankResult) -> Directions:
        """Both directions, of the ranks that the contents of the first input, and of the second, have as queries."""
        return Directions(
            Direction(forward, self.first_a, np.bincount(self.pairs[0]), len(self.first_b)),
            Direction(backward, self.first_b, np.bincount(self.pairs[1]), len(self.first_a)),
        )


def unique_items(ids_a: np.ndarray, ids_b: np.ndarray) -> UniqueItems:
    """The contents of two inputs by their hashes, int64 [R] each."""
    first_a, inverse_a = np.unique(ids_a, return_index=True, return_inverse=True)[1:]
    first_b, inverse_b = np.unique(ids_b, return_index=True, return_inverse=True)[1:]
    return UniqueItems(first_a, first_b, np.unique(np.stack([inverse_a, inverse_b]), axis=1))


def retrieval(a: np.ndarray, b: np.ndarray, ids_a: np.ndarray, ids_b: np.ndarray) -> Directions:
    """Both directions between two inputs of the same R records.

    a, b: float32 [R, E], unit length. ids_a, ids_b: int64 [R], by content. Contents that several records share count
    once, and two contents belong together when any record pairs them: so several captions of a picture are all right.
    Raises UserError for embeddings that are not finite.
    """
    unique = unique_items(ids_a, ids_b)
    a, b = a[unique.first_a], b[unique.first_b]
    return unique.directions(rank_items(a, b, unique.forward), rank_items(b, a, unique.backward))


def rank_items(queries: np.ndarray, items: np.ndarray, right: tuple[np.ndarray, np.ndarray]) -> RankResult:
    """Ranks all items for each query by their inner product.

    queries: float32 [Q, E]; items: float32 [N, E]. right: int64 [P] and [P], the rows of query and item that belong
    together, each pair once, at least one for every query. Never holds more than a tile of the Q x N similarities.
    Raises UserError for embeddings that are not finite.
    """
    if not (np.isfinite(queries).all() and np.isfinite(items).all()):
        raise UserError("The embeddings are not finite numbers: the training diverged; use a lower learning rate.")
    order = np.argsort(right[0], kind="stable")
    query, item = right[0][order], right[1][order]  # [P]
    score, above, level = np.empty(len(query), np.float32), *np.empty((2, len(query)), np.int64)
    size = _size(len(items))
    for start, stop in tiles(len(queries), len(items)):
        tile = queries[start:stop] @ items.T  # [size, N]
        begin, end = np.searchsorted(query, [start, stop])
        for first_pair in range(begin, end, size):
            pairs = slice(first_pair, min(first_pair + size, end))
            row = query[pairs] - start
            score[pairs] = tile[row, item[pairs]]
            rows, right_score = tile[row], score[pairs, None]  # [size, N]
            above[pairs] = np.count_nonzero(rows > right_score, axis=1)
            level[pairs] = np.count_nonzero(rows == right_score, axis=1)
    return from_counts(len(queries), query, score, above, level)


def tiles(queries: int, items: int) -> Iterator[tuple[int, int]]:
    """The first query and the one after the last of each tile, whose similarities with all `items` are held at once."""
    size = _size(items)
    return ((start, start + size) for start in range(0, queries, size))


def _size(items: int) -> int:
    return max(1, min(TILE, TILE_ELEMENTS // max(1, items)))


def from_counts(count: int, query: np.ndarray, score: np.ndarray, above: np.ndarray, level: np.ndarray) -> RankResult:
    """The ranks of `count` queries, of the P right pairs: their scores, how many items score more and the same."""
    order = np.lexsort((-score, query))
    query, score, above, level = query[order], score[order], above[order], level[order]
    same = (query[1:] == query[:-1]) & (score[1:] == score[:-1])
    start = np.flatnonzero(np.concatenate([[True], ~same]))  # a block is the right items of one query and one score
    right = np.diff(start, append=len(query))
    query, above, level = query[start], above[start], level[start]
    total = np.bincount(query, right, count)
    before = start - (np.cumsum(total) - total)[query]  # right items of the query in the blocks above
    block = _expected_precisions(above, level, before, right)
    best = np.searchsorted(query, np.arange(count))
    above, level, right = above[best], level[best], right[best]
    return RankResult(
        rank=above + (level + 1) / (right + 1),
        precision=np.bincount(query, block, count) / total,
        above=above,
        tied=np.stack([right, level - right], axis=1),
    )


def _expected_precisions(above: np.ndarray, level: np.ndarray, before: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The precisions at the `right` items of a block of `level` tied ones, summed, over all orders of the block.

    `above` items, of them `before` right, stand over the block. All [blocks]. The item at place i of the block is right
    with probability right / level, and then (i - 1)(right - 1) / (level - 1) of those over it in the block are.
    """
    slope = (right - 1) / np.maximum(level - 1, 1)
    harmonic = digamma(above + level + 1.0) - digamma(above + 1.0)  # the sum of 1 / (above + i)
    return right / level * ((before + 1 - slope * (above + 1)) * harmonic + slope * level)


def _none_of(drawn: np.ndarray, right: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The probability that none of `drawn` items of `count`, taken without putting back, is one of the `right` ones."""
    wrong = count - right
    possible = drawn <= wrong
    remaining = np.where(possible, wrong - drawn, 0)
    logarithm = gammaln(wrong + 1.0) - gammaln(remaining + 1.0) - gammaln(count + 1.0) + gammaln(count - drawn + 1.0)
    return np.where(possible, np.exp(logarithm), 0.0)


def retrieval_metrics(ranks: RankResult) -> dict[str, Metric]:
    """`recall@1`, `recall@5` and `recall@10` (is any right item among the first?), `median_rank` of the best right
    item, and `mean_average_precision`, each a function of the weights of the queries.
    """
    recalls = {f"recall@{cut}": share(ranks.within(cut)) for cut in CUTS}
    return recalls | {"median_rank": median(ranks.rank), "mean_average_precision": share(ranks.precision)}


def retrieval_chance(direction: Direction) -> dict[str, float]:
    """What each of the metrics is when the items are ranked by chance."""
    right, queries = np.unique(direction.right, return_counts=True)
    share, items = queries / queries.sum(), direction.items

    def within(cut: int) -> float:
        return float(share @ (1 - _none_of(np.full_like(right, min(cut, items)), right, np.full_like(right, items))))

    zeros = np.zeros_like(right)
    precision = _expected_precisions(zeros, np.full_like(right, items), zeros, right) / right
    return {f"recall@{cut}": within(cut) for cut in CUTS} | {
        "median_rank": (_reaches(within, items, 0.5 - 1e-9) + _reaches(within, items, 0.5 + 1e-9)) / 2,
        "mean_average_precision": float(share @ precision),
    }


def _reaches(rises: Callable[[int], float], last: int, level: float) -> int:
    """The first whole number from 1 to `last` at which the rising function is at least `level`."""
    low, high = 1, last
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if rises(middle) >= level else (middle + 1, high)
    return low


def retrieval_figures(direction: Direction) -> dict[str, float]:
    """Each of the metrics, without intervals."""
    rows = len(direction.found.rank)
    return {name: point(metric, rows) for name, metric in retrieval_metrics(direction.found).items()}


def measure_retrieval(direction: Direction, resamples: Resamples) -> dict[str, Value]:
    """Each of the metrics with its interval over `resamples` of the queries, and its chance level."""
    by_name, chance = retrieval_metrics(direction.found), retrieval_chance(direction)
    drawn = distribution(by_name, resamples)
    return {name: measured(metric, drawn[name], resamples, chance[name]) for name, metric in by_name.items()}


def measure_gain(before: Direction, after: Direction, resamples: Resamples) -> dict[str, Value]:
    """By how much each metric of the same queries is more `after` than `before`, with its paired interval."""
    old, new = retrieval_metrics(before.found), retrieval_metrics(after.found)
    gains = {name: partial(_gain, old[name], new[name]) for name in old}
    drawn = distribution(gains, resamples)
    estimates = {name: point(gain, len(before.found.rank)) for name, gain in gains.items()}
    return {name: summary(estimates[name], drawn[name], resamples.units, 0.0) for name in gains}


def _gain(before: Metric, after: Metric, weights: np.ndarray) -> np.ndarray:
    return after(weights) - before(weights)


def median(values: np.ndarray) -> Metric:
    """The weighted median of per-sample values [N]; of two in the middle their mean."""
    levels, level_of = np.unique(values, return_inverse=True)
    group = members(level_of, len(levels))

    def metric(weights: np.ndarray) -> np.ndarray:
        upto = np.cumsum(group.astype(weights.dtype) @ weights, axis=0)  # [levels, R]
        half, last = upto[-1] / 2, len(levels) - 1
        low, high = (np.minimum(side.sum(axis=0), last) for side in (upto < half, upto <= half))
        return (levels[low] + levels[high]) / 2

    return metric
