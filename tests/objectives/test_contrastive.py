"""The contrastive objective on a model of two small towers."""

import pytest
import torch
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.features import Batch, Features
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.objectives.contrastive import Contrastive
from sensorium.objectives.step import Step
from sensorium.training.learner import Learner
from tests.objectives import plain
from tests.objectives.plain import Pairs


class Tower(nn.Module):
    """Numbers, [B, 5], to a summary, [B, 7]."""

    dim, summary_only, modality = 7, True, "table"

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 7)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """Features of one token."""
        return Features.one(self.linear(inputs["value"]).tanh(), inputs["mask"].any(dim=1))


def model() -> Model:
    torch.manual_seed(0)
    projections = {name: Projection(7, 6) for name in ("photo", "caption")}
    return Model({"photo": Tower(), "caption": Tower()}, projections, temperature=0.07)


def batch(rows: int = 20) -> Batch:
    """Some rows lack a side, some share a caption, some have a class."""
    torch.manual_seed(1)
    place = torch.arange(rows)
    inputs = {
        name: {"value": torch.randn(rows, 5), "mask": (place % every != 1)[:, None]}
        for name, every in (("photo", 5), ("caption", 4))
    }
    targets = {"kind": {"mask": place % 3 == 0, "label": place % 2}}
    return Batch(inputs, targets, {"photo": place, "caption": place // 2}, [str(row) for row in place])


@pytest.mark.parametrize("labels", [None, "kind"])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_loss_and_count_are_those_of_the_rows_with_both_sides(kind, labels):
    towers, records = model(), batch()
    if kind == "sigmoid":
        towers.logit_bias = nn.Parameter(torch.tensor(-10.0))
    objective = Contrastive("photo", "caption", kind, labels=labels)
    step = Step(towers, records)
    [(name, loss)] = objective(step).items()
    target = records.targets["kind"]
    pairs = Pairs(
        step.embedding("photo"), step.embedding("caption"), records.ids["photo"], records.ids["caption"],
        towers.logit_scale, None if labels is None else torch.where(target["mask"], target["label"], -1),
        records.present("photo"), records.present("caption"),
    )  # fmt: skip
    true = plain.softmax(pairs) if kind == "softmax" else plain.sigmoid(pairs, towers.logit_bias)
    assert torch.isclose(loss.total, true, rtol=1e-5)
    assert loss.count == objective.counts(records)[name] == len(plain.present(pairs)) < 20
    assert objective.weights == {name: 1.0}


def test_towers_learn_which_records_belong_together():
    towers, records = model(), batch()
    learner = Learner(towers, [Contrastive("photo", "caption", weight=2.0)])
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    losses = []
    for _ in range(60):
        [loss] = learner(records).values()
        losses.append((loss.total / loss.count).item())
        optimizer.zero_grad()
        (loss.total / loss.count).backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    assert towers.logit_scale.grad.abs() > 0


def test_what_the_model_lacks_is_said():
    with pytest.raises(UserError, match="no contrastive loss 'softmix'; did you mean 'softmax'"):
        Contrastive("photo", "caption", "softmix")
    with pytest.raises(UserError, match="needs a model with a logit_bias"):
        Contrastive("photo", "caption", "sigmoid")(Step(model(), batch()))
