"""Learning what the fusion itself asks for."""

import torch
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.step import Step


class OfFusion(nn.Module):
    """The losses that a fusion has of its own, such as `variational`'s, over the rows that have any input. Such a
    fusion has `weights`, name -> weight, and `losses(features)`, name -> float32 [B]. It sees every input that a record
    has: modality dropout is not for it. Raises UserError for a model whose fusion has none."""

    reads = "fused"

    def __init__(self, model: Model):
        super().__init__()
        if not has_losses(model):
            raise UserError("The fusion of this model has no losses of its own; leave the objective out.")
        self.weights = {_loss_name(name): weight for name, weight in model.fusion.weights.items()}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of each of the fusion's losses."""
        features = {name: step.features(name) for name in step.model.encoders.names}
        counted = step.batch.anything()  # [B]
        losses = step.model.fusion.losses(features)
        return {
            _loss_name(name): Loss(torch.where(counted, loss, 0.0).sum(), counted.sum())
            for name, loss in losses.items()
        }

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {name: batch.anything().sum() for name in self.weights}


def has_losses(model: Model) -> bool:
    """True when the model's fusion has losses of its own, so that training needs `OfFusion`."""
    return hasattr(model.fusion, "losses")


def _loss_name(name: str) -> str:
    return f"fusion_{name}"
