"""Weights by uncertainty: the formula, where they end, and what stays as it was."""

import math

import pytest
import torch

from sensorium.objectives import Contrastive, Information, Supervised, Triplet, Uncertainty
from sensorium.objectives.step import Step
from sensorium.training.learner import Learner
from tests.objectives.test_contrastive import batch, model


def test_each_loss_is_weighted_by_its_variance_and_given_as_it_is():
    towers, records = model(), batch()
    inner = [Contrastive("photo", "caption", weight=3.0), Triplet("photo", "caption")]
    both = Uncertainty(inner)
    with torch.no_grad():
        both.log_variance.copy_(torch.tensor([0.7, -1.2]))
    found, counts = both(Step(towers, records)), both.counts(records)
    names = ["photo_caption", "photo_caption_triplet"]
    assert found.keys() == counts.keys() == both.weights.keys() == {*names, *(f"{name}_weighted" for name in names)}
    assert both.weights == dict.fromkeys(names, 0.0) | {f"{names[0]}_weighted": 3.0, f"{names[1]}_weighted": 1.0}
    for one, name, s in zip(inner, names, (0.7, -1.2), strict=True):
        [alone] = one(Step(towers, records)).values()
        mean = alone.total / alone.count
        assert torch.equal(found[name].total, alone.total.detach()) and not found[name].total.requires_grad
        weighted = found[f"{name}_weighted"]
        assert (weighted.total / weighted.count).item() == pytest.approx((math.exp(-s) * mean + s / 2).item(), rel=1e-5)
        assert counts[name] == counts[f"{name}_weighted"] == alone.count


def test_the_variance_goes_where_the_loss_is_twice_it():
    """d/ds (exp(-s) L + s / 2) = 0 at exp(s) = 2 L."""
    towers, records = model().requires_grad_(False), batch()
    both = Uncertainty([Contrastive("photo", "caption"), Triplet("photo", "caption")])
    learner = Learner(towers, [both])
    assert [id(one) for one in learner.own_parameters] == [id(both.log_variance)]
    optimizer = torch.optim.Adam([both.log_variance], 0.05)
    for _ in range(400):
        losses = learner(records)
        optimizer.zero_grad()
        sum(both.weights[name] * loss.total / loss.count for name, loss in losses.items()).backward()
        optimizer.step()
    for name, s in zip(both.names, both.log_variance.tolist(), strict=True):
        assert math.exp(s) == pytest.approx(2 * (losses[name].total / losses[name].count).item(), rel=0.05)


def test_bounds_are_its_own_and_those_of_what_it_weighs():
    inner = Information("photo", "caption")
    learner = Learner(model(), [Uncertainty([inner])])
    with torch.no_grad():
        learner.objectives[0].log_variance.fill_(-50.0)
        inner.log_factor.fill_(50.0)
    learner.post_step()
    assert learner.objectives[0].log_variance.exp().item() == pytest.approx(0.01)
    assert inner.log_factor.exp().item() == pytest.approx(100)


def test_it_reads_what_they_read():
    pair = [Contrastive("photo", "caption"), Triplet("caption", "sound")]
    assert Uncertainty(pair).reads == "embeddings"
    assert Uncertainty(pair).views == ("photo", "caption", "sound")
    assert Uncertainty([*pair, Supervised("kind")]).reads == "fused"
