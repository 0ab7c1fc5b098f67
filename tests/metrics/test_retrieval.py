"""Retrieval: agrees with scikit-learn, with a loop over queries, and with what chance gives; flat in memory."""

import itertools
import tracemalloc

import numpy as np
import pytest
import sklearn.metrics as sk

from sensorium.errors import UserError
from sensorium.metrics import Resamples
from sensorium.metrics.retrieval import (
    Direction,
    measure_retrieval,
    median,
    rank_items,
    retrieval,
    retrieval_chance,
    retrieval_figures,
    retrieval_metrics,
)


def unit(generator, rows: int, dim: int = 8) -> np.ndarray:
    vectors = generator.normal(size=(rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pairs(generator, queries: int, items: int, most: int) -> np.ndarray:
    """bool [queries, items], one to `most` right items a query."""
    right = np.zeros((queries, items), bool)
    for row in right:
        row[generator.choice(items, generator.integers(1, most + 1), replace=False)] = True
    return right


def naive(order, right: np.ndarray):
    """The rank of the best right item and the average precision of items listed in order."""
    places = [place for place, item in enumerate(order, 1) if right[item]]
    return places[0], np.mean([number / place for number, place in enumerate(places, 1)])


@pytest.mark.parametrize("most", [1, 6])
def test_agrees_with_a_loop_and_with_scikit_learn(most):
    generator = np.random.default_rng(most)
    queries, items = unit(generator, 70), unit(generator, 40)
    right = pairs(generator, 70, 40, most)
    result = rank_items(queries, items, np.nonzero(right))
    scores = queries @ items.T
    expected = np.array([naive(np.argsort(-row), belongs) for row, belongs in zip(scores, right, strict=True)])
    assert result.rank == pytest.approx(expected[:, 0])
    assert result.precision == pytest.approx(expected[:, 1])
    assert result.precision.mean() == pytest.approx(sk.label_ranking_average_precision_score(right, scores))
    assert result.precision[3] == pytest.approx(sk.average_precision_score(right[3], scores[3]))
    for cut in (1, 5, 10, 40):
        assert result.within(cut) == pytest.approx((expected[:, 0] <= cut).astype(float))


def test_ties_are_the_mean_over_all_orders():
    scores, right = np.array([3.0, 2, 2, 2, 2, 1, 1]), np.array([0, 1, 1, 0, 0, 1, 0], bool)
    orders = [[0, *middle, *last] for middle in itertools.permutations([1, 2, 3, 4]) for last in ([5, 6], [6, 5])]
    ranks = [naive(order, right) for order in orders]
    result = rank_items(np.ones((1, 1), np.float32), scores[:, None].astype(np.float32), np.nonzero(right[None]))
    assert result.rank[0] == pytest.approx(np.mean([rank for rank, _ in ranks]))
    assert result.precision[0] == pytest.approx(np.mean([precision for _, precision in ranks]))
    for cut in range(1, 8):
        assert result.within(cut)[0] == pytest.approx(np.mean([rank <= cut for rank, _ in ranks]))


def test_a_wrong_item_that_ties_counts_half():
    items = np.array([[1.0], [1.0], [1.0], [0.0]], np.float32)
    assert rank_items(items[:1], items, (np.array([0]), np.array([0]))).rank == [2.0]


@pytest.mark.parametrize("captions", [1, 3])
def test_collapsed_embeddings_score_chance(captions):
    rows = 30 * captions
    same = np.tile(unit(np.random.default_rng(0), 1, 64), (rows, 1))
    for direction in retrieval(same, same, np.arange(rows) // captions, np.arange(rows)):
        chance = retrieval_chance(direction)
        figures = retrieval_figures(direction)
        for name in ("recall@1", "recall@5", "recall@10", "mean_average_precision"):
            assert figures[name] == pytest.approx(chance[name])
        # Each rank is the mean of a skewed distribution where several items are right, and no median.
        assert figures["median_rank"] == pytest.approx(chance["median_rank"], abs=0 if captions == 1 else 4)


def test_chance_is_what_random_embeddings_score():
    generator = np.random.default_rng(1)
    ids_a, ids_b = np.repeat(np.arange(100), 4), np.arange(400)
    drawn = [
        [retrieval_figures(one) for one in retrieval(unit(generator, 400), unit(generator, 400), ids_a, ids_b)]
        for _ in range(60)
    ]
    chances = [retrieval_chance(one) for one in retrieval(unit(generator, 400), unit(generator, 400), ids_a, ids_b)]
    for side, chance in enumerate(chances):
        for name, level in chance.items():
            values = [one[side][name] for one in drawn]
            assert abs(np.mean(values) - level) < 4 * np.std(values) / np.sqrt(60) + 1e-9, (side, name)


def test_equal_contents_count_once_and_belong_to_all_their_partners():
    pictures = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 1]]
    captions = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 1]]
    directions = retrieval(pictures, captions, np.array([7, 7, 8, 9, 8]), np.array([1, 2, 2, 3, 2]))
    assert directions.forward.items == 3 and directions.backward.items == 3
    assert directions.forward.right.tolist() == [2, 1, 1]
    assert directions.backward.right.tolist() == [1, 2, 1]
    assert directions.forward.records.tolist() == [0, 2, 3] and directions.backward.records.tolist() == [0, 1, 3]
    assert directions.forward.found.rank.tolist() == [1, 1, 1]


def test_intervals_hold_the_value_and_follow_the_clusters():
    generator = np.random.default_rng(2)
    a = unit(generator, 300)
    b = (a + 0.8 * unit(generator, 300)).astype(np.float32)
    forward = retrieval(a, b, np.arange(300), np.arange(300)).forward
    alone = measure_retrieval(forward, Resamples(300, None, 500))
    for value in alone.values():
        assert value.low <= value.value <= value.high and value.chance is not None
    together = measure_retrieval(forward, Resamples(300, np.sort(forward.found.rank) // 30, 500))
    assert together["recall@1"] != alone["recall@1"]
    assert alone["recall@1"].value == pytest.approx((forward.found.rank == 1).mean())
    assert alone["median_rank"].value == np.median(forward.found.rank)


def test_the_median_is_numpys_under_whole_weights():
    generator = np.random.default_rng(3)
    values, weights = generator.integers(1, 9, 40) / 2, generator.integers(0, 4, (40, 20))
    expected = [np.median(np.repeat(values, column)) for column in weights.T]
    assert median(values)(weights.astype(np.float32)) == pytest.approx(expected)


def test_memory_stays_flat_and_tiles_do_not_show(monkeypatch):
    generator = np.random.default_rng(4)
    queries, items = unit(generator, 6000, 4), unit(generator, 6000, 4)
    right = (np.arange(6000), np.arange(6000))
    tracemalloc.start()
    whole = rank_items(queries, items, right)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 6000 * 4  # the similarities alone
    monkeypatch.setattr("sensorium.metrics.retrieval.TILE", 777)
    for one, other in zip(whole, rank_items(queries, items, right), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_not_finite_is_refused():
    good, bad = np.ones((2, 2), np.float32), np.full((2, 2), np.nan, np.float32)
    with pytest.raises(UserError, match="not finite numbers"):
        rank_items(good, bad, (np.arange(2), np.arange(2)))


def test_one_item_is_always_found():
    one = rank_items(*np.ones((2, 1, 2), np.float32), (np.zeros(1, int), np.zeros(1, int)))
    direction = Direction(one, np.zeros(1, int), np.ones(1, int), 1)
    assert set(retrieval_metrics(direction.found)) == set(retrieval_chance(direction))
    assert set(retrieval_chance(direction).values()) == {1.0}
