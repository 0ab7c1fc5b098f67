"""Learning the mutual information of two inputs: a lower bound on it is maximised."""

import math

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.objectives.losses import bound_logit_scale, jensen_shannon
from sensorium.objectives.of_recipe import no_model_options
from sensorium.objectives.pair import Pair
from sensorium.objectives.step import Step

CHANCE = 2 * math.log(2)
"""The loss of embeddings that say nothing of each other."""


class InformationConfig(BaseModel, frozen=True, extra="forbid"):
    """labels: a target of classes; records of one class belong together as well."""

    labels: str | None = None


class Information(nn.Module):
    """Maximises the Jensen-Shannon lower bound on the mutual information of inputs `a` and `b` (Deep InfoMax, Hjelm et
    al. 2019, arXiv:1808.06670).

    Unlike the contrastive loss it does not need a large batch: each pair is a decision of its own. The critic is the
    cosine times a learned factor plus a learned bias, both kept here. `weight`: of this loss in the sum. Which records
    belong together: see `Pair`."""

    Config = InformationConfig
    aligns = True
    needs_temperature = False
    shares_space = True
    reads = "embeddings"
    model_options = staticmethod(no_model_options)

    def __init__(self, a: str, b: str, weight: float = 1.0, labels: str | None = None):
        super().__init__()
        self.pair = Pair(a, b, labels)
        self.name, self.views = f"{a}_{b}_information", (a, b)
        self.weights = {self.name: weight}
        self.log_factor = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the records that have both inputs."""
        sides = self.pair.sides(step)
        return {self.name: jensen_shannon(**sides, log_factor=self.log_factor, bias=self.bias)}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self.pair.count(batch)}

    def post_step(self, model: nn.Module) -> None:
        """Brings the factor back within its bounds, in place: 1 to 100."""
        bound_logit_scale(self.log_factor)
