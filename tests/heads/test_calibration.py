"""Thresholds, temperatures and weights against brute force and the plain formulas."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch.nn import functional as F

from sensorium.heads.calibration import best_threshold, fit_temperature, fit_weights, minimise


@pytest.mark.parametrize("balance", ["balanced_accuracy", "f1"])
@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_beats_the_chosen_one(balance, seed):
    random = np.random.default_rng(seed)
    truth = random.random(80) < 0.2
    scores = np.round(np.clip(0.25 * truth + 0.5 * random.random(80), 0, 1), 2)
    metric = balanced_accuracy_score if balance == "balanced_accuracy" else lambda t, p: f1_score(t, p, zero_division=0)
    chosen = best_threshold(torch.tensor(scores), torch.tensor(truth), balance)
    best = max(metric(truth, scores > t) for t in [0.0, *np.unique(scores)])
    assert metric(truth, scores > chosen) == pytest.approx(best)


def test_threshold_is_the_middle_unless_the_rows_say_otherwise():
    scores = torch.tensor([0.1, 0.2, 0.8, 0.9])
    assert best_threshold(scores, torch.tensor([False, False, True, True]), "f1") == 0.5
    assert best_threshold(scores, torch.ones(4, dtype=torch.bool), "f1") == 0.5
    assert best_threshold(scores, torch.zeros(4, dtype=torch.bool), "balanced_accuracy") == 0.5
    assert best_threshold(scores / 10, torch.tensor([False, False, True, True]), "f1") == pytest.approx(0.05)


def test_minimise_finds_the_least_and_refuses_nonsense():
    target = torch.tensor([2.0, -3.0])
    torch.testing.assert_close(minimise(lambda x: (x - target).square().sum(), torch.zeros(2)), target.double())
    assert torch.equal(minimise(lambda x: (x * torch.nan).sum(), torch.ones(2)), torch.ones(2).double())


def test_temperature_undoes_overconfidence():
    torch.manual_seed(0)
    logits = torch.randn(4000, 3)
    labels = torch.distributions.Categorical(logits=logits).sample()
    found = fit_temperature(lambda t: F.cross_entropy(4 * logits.double() / t, labels), 4000)
    assert found == pytest.approx(4, rel=0.1)
    assert fit_temperature(lambda t: F.cross_entropy(4 * logits.double() / t, labels), 4000) == found


def test_few_rows_that_are_all_right_do_not_make_it_certain():
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).double(), torch.tensor([0, 1])
    assert 0.5 < fit_temperature(lambda t: F.cross_entropy(logits / t, labels), 2) <= 1


def test_weights_turn_down_the_expert_that_is_wrong():
    torch.manual_seed(0)
    truth = torch.randn(1000, 2)
    labels = torch.distributions.Categorical(logits=truth).sample()
    noise = 3 * torch.randn(1000, 2)

    def log_loss(weights):
        return F.cross_entropy(weights[0] * truth + weights[1] * noise, labels)

    good, useless = fit_weights(log_loss, 2, 1000)
    assert 0.8 < good < 1.3 and 0 <= useless < 0.1
