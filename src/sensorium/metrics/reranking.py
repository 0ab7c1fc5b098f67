"""Retrieval in two stages: of all items the best by inner product are ordered anew, by a score that costs more."""

from typing import NamedTuple

import numpy as np

from sensorium.metrics.retrieval import RankResult, from_counts, tiles


class Best(NamedTuple):
    """For each of Q queries K items, int64 [Q, K], and their inner products with it, float32 [Q, K]."""

    items: np.ndarray
    similar: np.ndarray


def best(queries: np.ndarray, items: np.ndarray, count: int) -> Best:
    """For each query the K = `count` items, or all where there are fewer, of the largest inner product.

    queries: float32 [Q, E]; items: float32 [N, E]. In no order; where items tie for the last place it is any of them.
    """
    count = min(count, len(items))
    places, similar = [np.zeros((0, count), np.int64)], [np.zeros((0, count), np.float32)]
    for start, stop in tiles(len(queries), len(items)):
        scores = queries[start:stop] @ items.T  # [size, N]
        places.append(np.argpartition(-scores, count - 1, axis=1)[:, :count])
        similar.append(np.take_along_axis(scores, places[-1], axis=1))
    return Best(np.concatenate(places), np.concatenate(similar))


def reranked(
    queries: np.ndarray, items: np.ndarray, right: tuple[np.ndarray, np.ndarray], best: np.ndarray, scores: np.ndarray
) -> RankResult:
    """Ranks all items for each query: the `best` ones, int64 [Q, K], come first, ordered by their `scores`, float
    [Q, K]; behind them all others by their inner product.

    queries: float32 [Q, E]; items: float32 [N, E]. right: int64 [P] and [P], the rows of query and item that belong
    together, each pair once, at least one for every query. Never holds more than a tile of the Q x N similarities.
    """
    order = np.argsort(right[0], kind="stable")
    query, item = right[0][order], right[1][order]  # [P]
    above, level = np.empty((2, len(query)), np.int64)
    for start, stop in tiles(len(queries), len(items)):
        tile = queries[start:stop] @ items.T  # [size, N]
        others = tile.copy()
        np.put_along_axis(others, best[start:stop], -np.inf, axis=1)
        begin, end = np.searchsorted(query, [start, stop])
        for at in range(begin, end, stop - start):
            pairs = slice(at, min(at + stop - start, end))
            row, one = query[pairs], item[pairs]
            first, own = best[row] == one[:, None], scores[row]  # [pairs, K] twice
            among = first.any(axis=1)
            mine = np.where(first, own, -np.inf).max(axis=1)[:, None]
            behind, theirs = others[row - start], tile[row - start, one][:, None]
            above[pairs] = np.where(
                among, (own > mine).sum(axis=1), best.shape[1] + np.count_nonzero(behind > theirs, axis=1)
            )
            level[pairs] = np.where(among, (own == mine).sum(axis=1), np.count_nonzero(behind == theirs, axis=1))
    # How many stand above says where an item stands, whichever score put it there.
    return from_counts(len(queries), query, -above.astype(np.float64), above, level)
