"""Retrieval in two stages: the best items by inner product are ordered again, by a score that costs more."""

from typing import NamedTuple

import numpy as np

from sensorium.metrics.retrieval import RankResult, from_counts, tiles


class NearestItems(NamedTuple):
    """For each of Q queries K items, int64 [Q, K], and their inner products with it, float32 [Q, K]."""

    items: np.ndarray
    similarities: np.ndarray


def nearest_items(queries: np.ndarray, items: np.ndarray, count: int) -> NearestItems:
    """For each query the K = `count` items, or all where there are fewer, of the largest inner product.

    queries: float32 [Q, E]; items: float32 [N, E]. In no order; where items tie for the last place, any of them.
    """
    count = min(count, len(items))
    nearest, similarities = [np.zeros((0, count), np.int64)], [np.zeros((0, count), np.float32)]
    for start, stop in tiles(len(queries), len(items)):
        scores = queries[start:stop] @ items.T  # [size, N]
        nearest.append(np.argpartition(-scores, count - 1, axis=1)[:, :count])
        similarities.append(np.take_along_axis(scores, nearest[-1], axis=1))
    return NearestItems(np.concatenate(nearest), np.concatenate(similarities))


def rerank_items(
    queries: np.ndarray, items: np.ndarray, right: tuple[np.ndarray, np.ndarray], best: np.ndarray, scores: np.ndarray
) -> RankResult:
    """Ranks all items for each query: the `best` ones, int64 [Q, K], come first, ordered by their `scores`, float
    [Q, K]; then the remaining items by their inner product.

    queries: float32 [Q, E]; items: float32 [N, E]. right: int64 [P] and [P], the rows of query and item that belong
    together, each pair once, at least one for every query. Never holds more than a tile of the Q x N similarities.
    """
    order = np.argsort(right[0], kind="stable")
    query, item = right[0][order], right[1][order]  # [P]
    above, level = np.empty((2, len(query)), np.int64)
    for start, stop in tiles(len(queries), len(items)):
        tile = queries[start:stop] @ items.T  # [size, N]
        behind_best = tile.copy()
        np.put_along_axis(behind_best, best[start:stop], -np.inf, axis=1)
        begin, end = np.searchsorted(query, [start, stop])
        for first_pair in range(begin, end, stop - start):
            pairs = slice(first_pair, min(first_pair + stop - start, end))
            row, wanted_item = query[pairs], item[pairs]
            is_wanted, best_scores = best[row] == wanted_item[:, None], scores[row]  # [pairs, K] twice
            in_best = is_wanted.any(axis=1)
            wanted_score = np.where(is_wanted, best_scores, -np.inf).max(axis=1)[:, None]
            similarities, wanted_similarity = behind_best[row - start], tile[row - start, wanted_item][:, None]
            better = np.count_nonzero(similarities > wanted_similarity, axis=1)
            equal = np.count_nonzero(similarities == wanted_similarity, axis=1)
            above[pairs] = np.where(in_best, (best_scores > wanted_score).sum(axis=1), best.shape[1] + better)
            level[pairs] = np.where(in_best, (best_scores == wanted_score).sum(axis=1), equal)
    # The number of items above says where an item is, whichever score put it there.
    return from_counts(len(queries), query, -above.astype(np.float64), above, level)
