"""The one module that training wraps."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.step import Step

Answer = TypeVar("Answer")


def losses(learner: "Learner", batch: Batch) -> dict[str, Loss]:
    """Every objective's losses of one batch."""
    views = dict.fromkeys(view for objective in learner.objectives for view in getattr(objective, "views", ()))
    step = Step(learner.model, batch, learner.modality_dropout, views)
    return {name: loss for objective in learner.objectives for name, loss in objective(step).items()}


class Learner(nn.Module):
    """A model and its objectives: what DDP or FSDP wraps. Nothing calls around the wrapper: `forward` does it all."""

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

    @property
    def own_parameters(self) -> list[nn.Parameter]:
        """The losses' own trained parameters, as the temperature, which no encoder, projection, fusion or head has."""
        candidates = [*self.model.parameters(recurse=False), *self.objectives.parameters()]
        return [parameter for parameter in candidates if parameter.requires_grad]

    def forward(self, batch: Batch, work: Callable[["Learner", Batch], Answer] = losses) -> Answer:
        """`work(learner, batch)`, in autocast if `precision` is bf16: the losses, or a stage of gradient caching."""
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return work(self, batch)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """By loss name, over how many rows of the batch it sums: known before the forward pass, so that the losses of
        micro-batches are divided by the count of all of them."""
        return {name: count for objective in self.objectives for name, count in objective.counts(batch).items()}

    def post_step(self) -> None:
        """After an optimiser step: brings parameters back within their bounds, then updates teachers and queues."""
        for objective in self.objectives:
            if hasattr(objective, "post_step"):
                objective.post_step(self.model)
        for module in self.objectives.modules():  # each once, however many objectives share it
            if hasattr(module, "update_state"):
                module.update_state(self.model)
