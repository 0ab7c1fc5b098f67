"""Planted worlds: what a fusion that only adds its inputs cannot learn, and one that mixes them can.

Features come straight from the plan, one or two tokens an input, so that nothing but the fusion can solve it.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.fusion import FUSIONS

WIDTH, DIM = 8, 16
SETTINGS = {
    "capsules": {"capsules": 4},
    "hybrid": {"modality_dropout": 0.0},
    "resampler": {"queries": 2},
    "bottleneck": {"bottlenecks": 2},
    "tensor": {"width": 4},
    "low_rank": {"rank": 4},
}
ADDITIVE = ("weighted_sum", "sequence")
QUICK = ("tensor", "low_rank", "concat", "attention", "graph")
ALL = tuple(name for name in FUSIONS if name not in (*ADDITIVE, "separate", "late"))
# Three inputs that meet in two tokens only take longer to learn what all three tell than a test may take.
THREE = tuple(name for name in ALL if name != "bottleneck")


def world(inputs, rows, seed):
    """A sign for each of `inputs` inputs, hidden in one direction of noise; the label is the sign of their product."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (rows, inputs), generator=generator) * 2.0 - 1.0
    direction = torch.randn(inputs, WIDTH, generator=torch.Generator().manual_seed(0))
    features = {}
    for i in range(inputs):
        tokens = 0.1 * torch.randn(rows, 2, WIDTH, generator=generator)
        tokens[:, 0] += signs[:, i : i + 1] * direction[i]
        features["abc"[i]] = Features(tokens, torch.ones(rows, 2, dtype=torch.bool), tokens.sum(dim=1))
    return features, (signs.prod(dim=1) > 0).long()


def learned(name, inputs, steps=300, late=False):
    """Accuracy and cross-entropy (nats) of 512 fresh records after training on as many as are wanted.

    What decides is a linear layer on the fused summary, or, `late`, the sum of linear layers on each token.
    """
    torch.manual_seed(0)
    kind = FUSIONS[name]
    own = {"dropout": 0.0} if "dropout" in kind.Config.model_fields else {}
    fusion = kind(kind.Config(dim=DIM, **own, **SETTINGS.get(name, {})), dict.fromkeys("abc"[:inputs], WIDTH))
    head = nn.Linear(DIM * (inputs if late else 1), 2)

    def scores(features):
        fused = fusion(features)
        return head(fused.tokens.flatten(1) if late else fused.pooled)

    rate = 0.003 if fusion.reads == "tokens" else 0.01
    optimiser = torch.optim.Adam([*fusion.parameters(), *head.parameters()], lr=rate)
    for step in range(steps):
        features, labels = world(inputs, 128, seed=step)
        optimiser.zero_grad()
        F.cross_entropy(scores(features), labels).backward()
        optimiser.step()
    fusion.eval()
    features, labels = world(inputs, 512, seed=steps)
    with torch.no_grad():
        found = scores(features)
    return (found.argmax(dim=1) == labels).double().mean().item(), F.cross_entropy(found, labels).item()


@pytest.mark.parametrize(
    ("name", "late"), [("weighted_sum", False), ("sequence", False), ("separate", True), ("late", True)]
)
@pytest.mark.parametrize("inputs", [2, 3])
def test_what_only_adds_stays_at_chance(name, late, inputs):
    """No sum is right in more than three of the four corners of two signs, and one that says how sure it is, is not."""
    accuracy, loss = learned(name, inputs, late=late)
    assert accuracy < 0.8 and loss > 0.99 * math.log(2)


@pytest.mark.parametrize("name", QUICK)
def test_the_exclusive_or_of_two_inputs_is_learned_soon(name):
    assert learned(name, 2, steps=80)[0] >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_exclusive_or_of_two_inputs_is_learned(name):
    assert learned(name, 2)[0] >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", THREE)
def test_what_only_three_inputs_together_tell_is_learned(name):
    assert learned(name, 3)[0] >= 0.99
