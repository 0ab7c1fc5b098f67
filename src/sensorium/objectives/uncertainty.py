"""Weights of several losses that are learned beside what they weigh."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.objectives.step import Step

MOST = math.log(100)  # of the logarithm of a variance, either way: a loss counts a hundred times, or a hundredth


class Uncertainty(nn.Module):
    """Objectives whose losses are weighted by how uncertain each is (Kendall et al. 2018, arXiv:1705.07115).

    Of each mean loss L the sum has exp(-s) L + s / 2, with a learned s, the logarithm of the variance of what the loss
    measures: noisy losses come to count less, and none can count for nothing, which would be dear in s. For squared
    errors halved and for cross-entropies this is the paper's formula. An objective's own weight is a factor on top.

    Each loss is also given as it is, with weight 0, so that what is logged of it means the same as ever; what counts is
    named `..._weighted`, and may be negative."""

    def __init__(self, objectives: Iterable[nn.Module]):
        super().__init__()
        self.objectives = nn.ModuleList(objectives)
        fixed = {name: weight for objective in self.objectives for name, weight in objective.weights.items()}
        self.names = list(fixed)
        self.log_variance = nn.Parameter(torch.zeros(len(fixed)))
        self.weights = dict.fromkeys(fixed, 0.0) | {_weighted(name): weight for name, weight in fixed.items()}
        other_reads = [objective.reads for objective in self.objectives if objective.reads != "embeddings"]
        self.reads = other_reads[0] if other_reads else "embeddings"
        views = (getattr(objective, "views", ()) for objective in self.objectives)
        self.views = tuple(dict.fromkeys(view for declared in views for view in declared))

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of each loss, as it is and weighted."""
        losses = {name: loss for objective in self.objectives for name, loss in objective(step).items()}
        plain = {name: Loss(loss.total.detach(), loss.count) for name, loss in losses.items()}
        return plain | {
            _weighted(name): Loss((-s).exp() * losses[name].total + s / 2 * losses[name].count, losses[name].count)
            for name, s in zip(self.names, self.log_variance, strict=True)
        }

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count, for each loss."""
        counts = {name: count for objective in self.objectives for name, count in objective.counts(batch).items()}
        return counts | {_weighted(name): count for name, count in counts.items()}

    @torch.no_grad()
    def post_step(self, model: nn.Module) -> None:
        """Brings what has bounds back within them, in place: of a variance, a hundredth to a hundred."""
        self.log_variance.clamp_(-MOST, MOST)
        for objective in self.objectives:
            if hasattr(objective, "post_step"):
                objective.post_step(model)


def _weighted(name: str) -> str:
    return f"{name}_weighted"
