"""The losses of a fusion itself: over which rows they sum, and that a fit has them."""

import pytest
import torch
from torch import nn

import sensorium as api
from sensorium.errors import UserError
from sensorium.features import Batch, Features
from sensorium.fusion.variational import Variational, VariationalConfig
from sensorium.fusion.weighted_sum import WeightedSum, WeightedSumConfig
from sensorium.model import Model
from sensorium.objectives.of_fusion import OfFusion
from sensorium.objectives.step import Step
from tests.reviews import write


class Known(nn.Module):
    """Stands for an encoder whose features come from the cache."""

    dim, modality, processor = 4, "text", None


def model_with(fusion):
    return Model({"a": Known(), "b": Known()}, fusion=fusion)


def batch(rows=5):
    """Row 0 has neither input, row 1 only `a`."""
    chance = torch.Generator().manual_seed(0)
    there = {"a": torch.arange(rows) > 0, "b": torch.arange(rows) > 1}
    inputs = {name: Features.one(torch.randn(rows, 4, generator=chance), there[name]) for name in there}
    return Batch(inputs, {}, {}, [str(row) for row in range(rows)])


def test_it_sums_over_the_rows_that_have_any_input():
    torch.manual_seed(0)
    model = model_with(Variational(VariationalConfig(dim=8, reconstruction=0.5), {"a": 4, "b": 4})).eval()
    objective, given = OfFusion(model), batch()
    assert objective.weights == {"fusion_reconstruction": 0.5, "fusion_divergence": 0.01}
    losses = objective(Step(model, given))
    for name, rows in model.fusion.losses(given.inputs).items():
        found = losses[f"fusion_{name}"]
        torch.testing.assert_close(found.total, rows[1:].sum())
        assert found.count == objective.counts(given)[f"fusion_{name}"] == 4


def test_a_fusion_without_losses_is_a_mistake():
    model = model_with(WeightedSum(WeightedSumConfig(dim=8), {"a": 4, "b": 4}))
    with pytest.raises(UserError, match="has no losses of its own; leave the objective out"):
        OfFusion(model)


def test_a_fit_trains_what_the_fusion_asks_for(tmp_path, monkeypatch):
    """Without its losses the decoders of `variational` would stand where they began."""
    monkeypatch.chdir(tmp_path)
    rows = [{"name": ("lamp", "mug")[i % 2], "price": str(i), "kind": ("good", "bad")[i % 2]} for i in range(16)]
    write("table.csv", rows)
    made = []
    original = Variational.__init__

    def remember(self, *given):
        original(self, *given)
        made.append([one.detach().clone() for one in self.decoders.parameters()])

    monkeypatch.setattr(Variational, "__init__", remember)
    recipe = {"fusion": {"name": "variational", "config": {"dim": 8}}}
    encoders = {"name": "text,width=8,depth=1,heads=1", "price": "table,width=4,hidden=4"}
    options = {"columns": {"name": "text"}, "encoders": encoders, "epochs": 1, "refit": False, "workers": 0}
    run = api.fit("table.csv", "run", recipe=recipe, target="kind", quiet=True, **options)
    after = list(run.model.fusion.decoders.parameters())
    assert all(not torch.equal(old, new) for old, new in zip(made[0], after, strict=True))
