"""The dual loss: its formula, its gradients, and that it does not draw all records to one point."""

import numpy as np
import pytest
import torch
from torch import nn

from sensorium.objectives import Dual
from sensorium.objectives.losses import dual
from sensorium.objectives.step import Step
from sensorium.training.learner import Learner
from tests.objectives.test_contrastive import batch, model


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sides(rows: int = 12) -> tuple[torch.Tensor, torch.Tensor, nn.Linear, nn.Linear]:
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(rows, width).double(), dim=1) for width in (3, 4))
    return a, b, nn.Linear(3, 4).double(), nn.Linear(4, 3).double()


@pytest.mark.parametrize("gap", [0.0, 2.5])
def test_the_loss_is_the_plain_formulas(gap):
    a, b, forth, back = sides()
    present = torch.arange(12) % 4 != 1
    loss = dual(torch.where(present[:, None], a, torch.nan), b, forth, back, present, torch.arange(12) != 2, gap)
    assert loss.count == 8
    with torch.no_grad():
        weights = [(one.weight.numpy(), one.bias.numpy()) for one in (forth, back)]
    f, g = (lambda rows, w=w, c=c: unit(rows @ w.T + c) for w, c in weights)
    total = 0.0
    for row in [0, 3, 4, 6, 7, 8, 10, 11]:
        x, y = a[row : row + 1].numpy(), b[row : row + 1].numpy()
        there, here = np.sum((f(x) - y) ** 2), np.sum((g(y) - x) ** 2)
        total += (there + here + np.sum((g(f(x)) - x) ** 2) + np.sum((f(g(y)) - y) ** 2)) / 2 + gap * (
            there - here
        ) ** 2
    assert loss.total.item() == pytest.approx(total, rel=1e-12)


def test_derivatives_by_finite_differences():
    """Of the maps; and of the embeddings where they are given, not where they are to be reached."""
    a, b, forth, back = sides(5)
    parameters = [parameter.detach().requires_grad_() for one in (forth, back) for parameter in one.parameters()]

    def total(*given):
        one, two = (lambda rows, w=w, c=c: rows @ w.T + c for w, c in (given[:2], given[2:]))
        return dual(a, b, one, two).total

    assert torch.autograd.gradcheck(total, parameters)
    x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
    assert not dual(x, y, lambda rows: torch.zeros_like(b), lambda rows: torch.zeros_like(a)).total.requires_grad


def test_two_inputs_come_to_say_each_other_and_stay_apart():
    towers, records = model(), batch(40)
    with torch.no_grad():
        records.inputs["caption"]["value"].copy_(records.inputs["photo"]["value"].flip(1) + 0.1 * torch.randn(40, 5))
    objective = Dual("photo", "caption", (6, 6), hidden=16)
    learner = Learner(towers, [objective])
    assert objective.views == ("photo", "caption")
    optimizer = torch.optim.Adam(learner.parameters(), 0.01)
    losses = []
    for _ in range(150):
        [loss] = learner(records).values()
        losses.append((loss.total / loss.count).item())
        optimizer.zero_grad()
        (loss.total / loss.count).backward()
        optimizer.step()
    assert loss.count == objective.counts(records)["photo_caption_dual"] < 40
    assert losses[-1] < losses[0] / 3
    both = records.present("photo") & records.present("caption")
    step = Step(towers.eval(), records)
    a, b = step.embedding("photo")[both], step.embedding("caption")[both]
    assert 1 - a.mean(0).square().sum() > 0.3  # not all in one place
    said = torch.nn.functional.normalize(objective.forth(a), dim=1)
    assert ((said @ b.T).argmax(dim=1) == torch.arange(len(a))).float().mean() > 0.5  # chance is 0.04
