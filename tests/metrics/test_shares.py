"""Intervals of shares: as Newcombe printed them, never of zero width, holding the truth as often as they say."""

import numpy as np
import pytest
from scipy.stats import binom

from sensorium.metrics import Resamples, distribution, mean, measure, measured, share
from sensorium.metrics.shares import outcome_interval, share_interval


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2535, 0.3682), (15, 148, 0.0598, 0.1644), (0, 20, 0.0, 0.2005), (1, 29, 0.0018, 0.1963)],
)
def test_the_interval_is_newcombes(right, count, low, high):
    """Newcombe 1998, table I, method 4."""
    assert share_interval(right / count, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("rows", [10, 30, 100, 1000])
@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.99, 1.0])
def test_at_least_95_percent_of_test_sets_hold_the_truth(rows, accuracy):
    """Exactly, from the binomial distribution; at most 98 % where some set of counts has a chance between the two."""
    counts = np.arange(rows + 1)
    intervals = np.array([share_interval(count / rows, rows) for count in counts])
    holds = (intervals[:, 0] <= accuracy) & (accuracy <= intervals[:, 1])
    coverage = binom.pmf(counts, rows, accuracy)[holds].sum()
    assert coverage >= 0.95
    if (rows, accuracy) not in [(10, 0.9), (10, 0.99), (100, 0.99)] and accuracy < 1:
        assert coverage <= 0.98


def test_clustered_outcomes_are_worth_fewer():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        cluster = np.repeat(np.arange(40), 10)
        right = generator.random(400) < generator.beta(4, 1, 40)[cluster]
        low, high = outcome_interval(right.astype(float), cluster)
        held += low <= 0.8 <= high
        plain = outcome_interval(right.astype(float), None)
        assert high - low > plain[1] - plain[0]
    assert 0.92 * 300 <= held <= 0.99 * 300


def test_no_share_has_an_interval_of_zero_width():
    label = np.arange(60) % 3
    probabilities = np.eye(3)[label]
    prediction, prior = {"decision": label, "probabilities": probabilities}, np.full((60, 3), 1 / 3)
    constant = {"decision": np.zeros(60, int), "probabilities": prior}
    for clusters in (None, np.arange(60) // 6):
        resamples = Resamples(60, clusters, 200)
        found = measure("class", {"label": label}, prediction, constant, resamples)
        for name in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "average_precision"):
            assert found[name].value == 1.0 == found[name].high and found[name].low < 1.0, name
        width = 1 - found["accuracy"].low
        assert width == pytest.approx(1 - share_interval(1.0, resamples.units)[0])
    # A group counts as one record when nothing is known of how alike its records are.
    assert width > 0.2


def test_of_equal_errors_nothing_is_made_up():
    metric, resamples = mean(np.full(20, -3.0)), Resamples(20, None, 50)
    drawn = distribution({"": metric}, resamples)[""]
    assert measured(metric, drawn, resamples)[:3] == (-3.0, -3.0, -3.0)
    outcomes = share(np.full(20, 0.5))
    value = measured(outcomes, distribution({"": outcomes}, resamples)[""], resamples)
    assert value.low < 0.5 < value.high
