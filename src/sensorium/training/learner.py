"""The one module that training wraps."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.step import Step


class Learner(nn.Module):
    """A model and its objectives: what DDP or FSDP wraps. Its `forward` does everything, so nothing calls around the
    wrapper.
    """

    def __init__(
        self, model: Model, objectives: Iterable[nn.Module], modality_dropout: float = 0.0, precision: str = "fp32"
    ):
        super().__init__()
        self.model = model
        self.objectives = nn.ModuleList(objectives)
        self.modality_dropout = modality_dropout
        self.precision = precision

    @property
    def weights(self) -> dict[str, float]:
        """By loss name, its weight in the sum."""
        return {name: weight for objective in self.objectives for name, weight in objective.weights.items()}

    def forward(self, batch: Batch) -> dict[str, Loss]:
        """Every objective's losses of one batch, in autocast when `precision` is bf16."""
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            step = Step(self.model, batch, self.modality_dropout)
            return {name: loss for objective in self.objectives for name, loss in objective(step).items()}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """By loss name, over how many rows of the batch it sums; known before the forward, so that pieces divide by
        the whole.
        """
        return {name: count for objective in self.objectives for name, count in objective.counts(batch).items()}
