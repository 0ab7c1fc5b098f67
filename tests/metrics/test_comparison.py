"""Every two candidates: against SciPy's tests, against a plain statement of Holm, and how often nothing is found."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sensorium.metrics import CONFIDENCE, INTERVAL, compare_all, interval
from sensorium.metrics.comparison import holm


def scores(rows: int, seed: int, **better: float) -> dict[str, np.ndarray]:
    """Right or wrong, by candidates that share what is hard; `better` is how often one repairs a mistake."""
    generator = np.random.default_rng(seed)
    easy = generator.random(rows) < 0.7
    return {
        name: np.where(generator.random(rows) < 0.85, easy, generator.random(rows) < 0.5)
        | (generator.random(rows) < share)
        for name, share in better.items()
    }


def test_the_p_value_is_scipys_of_the_paired_permutation_test():
    given = scores(200, 0, one=0.0, two=0.15, three=0.05)
    for one, (a, b) in zip(compare_all(given), itertools.combinations(given, 2), strict=True):
        a, b = given[a].astype(float), given[b].astype(float)
        wanted = stats.permutation_test(
            (a, b), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples", n_resamples=9999, rng=1
        ).pvalue
        assert abs(one.p - wanted) < 0.02
        assert one.value.value == pytest.approx((a - b).mean())
        assert one.value.low < one.value.value < one.value.high


def test_few_clusters_are_flipped_in_every_way():
    one = np.array([1.0, 0.9, 0.8, 0.7, 0.95, 0.85])
    other = one - np.array([0.1, 0.2, 0.3, 0.1, 0.1, 0.2])
    (found,) = compare_all({"one": one, "other": other})
    assert found.p == pytest.approx(2 / 2**6)  # all signs alike, one way or the other
    clustered = np.array([0, 0, 1, 1, 2, 2])
    (found,) = compare_all({"one": one, "other": other}, clustered)
    assert found.p == pytest.approx(2 / 2**3)
    assert not found.significant


def test_copies_of_a_sample_are_no_evidence():
    alone = scores(60, 3, one=0.0, two=0.12)
    copied = {name: np.repeat(column, 10) for name, column in alone.items()}
    (few,), (many,) = compare_all(alone), compare_all(copied, np.repeat(np.arange(60), 10))
    assert abs(few.p - many.p) < 0.02
    assert few.value.low == pytest.approx(many.value.low, abs=0.02)
    (naive,) = compare_all(copied)
    assert naive.p < many.p / 5


def test_holm_is_its_plain_statement():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.5])
    found = holm(p)
    for level in np.linspace(0.001, 0.999, 400):
        rejected = np.zeros(5, bool)
        for place, index in enumerate(np.argsort(p)):
            if p[index] > level / (5 - place):
                break
            rejected[index] = True
        assert ((found <= level) == rejected).all()


def test_equal_candidates_are_seldom_told_apart():
    false = 0
    for seed in range(60):
        found = compare_all(scores(150, seed, a=0.0, b=0.0, c=0.0, d=0.0), count=50, seed=seed)
        false += any(one.significant for one in found)
    assert false <= 8  # 5 % of 60 is 3


def test_equal_scores_do_not_differ():
    column = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    (found,) = compare_all({"a": column, "b": column.copy()})
    assert found.p == found.corrected == 1.0 and not found.significant
    assert tuple(found.value[:3]) == (0.0, 0.0, 0.0)


def test_an_interval_holds_the_confidence_that_tables_print():
    values = np.random.default_rng(0).normal(size=5000)
    assert (CONFIDENCE, INTERVAL) == (0.95, "95 % interval")
    assert interval(values) == tuple(np.percentile(values, [2.5, 97.5]))
