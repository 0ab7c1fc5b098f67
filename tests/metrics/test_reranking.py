"""Items ordered anew against a ranking written down one item at a time."""

import numpy as np
import pytest

from sensorium.metrics import retrieval as tiled
from sensorium.metrics.reranking import nearest_items, rerank_items
from sensorium.metrics.resampling import Resamples
from sensorium.metrics.retrieval import Direction, measure_gain, rank_items, unique_items


def world(seed: int, queries: int = 23, items: int = 17, levels: int | None = None):
    """Queries and items, whose similarities tie often when they have few levels; and which belong together."""
    chance = np.random.default_rng(seed)
    a, b = (chance.normal(size=(rows, 3)).astype(np.float32) for rows in (queries, items))
    if levels:
        a, b = (np.round(part * levels) / levels for part in (a, b))
    own = np.stack([np.arange(queries), chance.integers(items, size=queries)])
    more = np.stack([chance.integers(queries, size=15), chance.integers(items, size=15)])
    pairs = np.unique(np.concatenate([own, more], axis=1), axis=1)
    return a, b, (pairs[0], pairs[1])


def places(similar: np.ndarray, first: np.ndarray, score: np.ndarray) -> list[tuple]:
    """By item what it is sorted by: the best by their score, behind them the others by similarity."""
    anew = dict(zip(first.tolist(), score.tolist(), strict=True))
    return [(1, anew[item]) if item in anew else (0, float(one)) for item, one in enumerate(similar)]


@pytest.mark.parametrize("levels", [None, 1])
def test_each_query_finds_what_a_plain_ranking_says(levels, monkeypatch):
    monkeypatch.setattr(tiled, "TILE", 5)
    a, b, right = world(0, levels=levels)
    first, theirs = nearest_items(a, b, 6)
    scores = np.random.default_rng(1).integers(4, size=first.shape).astype(float)  # they tie as well
    result = rerank_items(a, b, right, first, scores)
    np.testing.assert_allclose(theirs, np.take_along_axis(a @ b.T, first, axis=1), rtol=1e-6)
    for query, similar in enumerate(a @ b.T):
        cut = np.sort(similar)[::-1][5]
        assert (similar[first[query]] >= cut).all() and len(set(first[query])) == 6
        sorted_by = places(similar, first[query], scores[query])
        mine = {item for one, item in zip(*right, strict=True) if one == query}
        top = max(sorted_by[item] for item in mine)
        wrong = [sorted_by[item] for item in range(len(b)) if item not in mine]
        ties = sum(sorted_by[item] == top for item in mine)
        assert result.above[query] == sum(one > top for one in wrong)
        assert result.tied[query].tolist() == [ties, sum(one == top for one in wrong)]


def test_all_items_ordered_by_their_own_similarity_are_found_as_ever():
    a, b, right = world(2)
    first, _ = nearest_items(a, b, len(b) + 5)
    assert first.shape == (len(a), len(b))
    again = rerank_items(a, b, right, first, np.take_along_axis(a @ b.T, first, axis=1))
    for one, two in zip(rank_items(a, b, right), again, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_the_gain_is_of_the_same_queries():
    a, b, right = world(3)
    first, _ = nearest_items(a, b, 4)
    known = unique_items(np.arange(len(a)), np.arange(len(a)))
    truth = np.zeros(first.shape)
    for query, item in zip(*right, strict=True):
        truth[query, first[query] == item] = 1
    before = Direction(rank_items(a, b, right), known.first_a, np.bincount(right[0]), len(b))
    after = before._replace(found=rerank_items(a, b, right, first, truth))
    drawn = Resamples(len(a), count=200)
    gain = measure_gain(before, after, drawn)
    hits = [direction.found.within(1).mean() for direction in (before, after)]
    assert gain["recall@1"].value == pytest.approx(hits[1] - hits[0]) and gain["recall@1"].low > 0
    assert gain["mean_average_precision"].low > 0 and gain["recall@1"].chance == 0
    none = measure_gain(before, before, drawn)
    assert all((value.value, value.low, value.high) == (0, 0, 0) for value in none.values())
