"""Learning a target from its labels."""

import torch
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.objectives.step import Step


class Supervised(nn.Module):
    """The loss of one of the model's heads over the rows that have its target and at least one input."""

    reads = "fused"

    def __init__(self, head: str, weight: float = 1.0):
        super().__init__()
        self.head = head
        self.weights = {head: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the head's loss."""
        counted = self._counted(step.batch)
        loss = step.model.heads[self.head].loss(step.fused(), step.batch.targets[self.head])  # [B]
        return {self.head: Loss(torch.where(counted, loss, 0.0).sum(), counted.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count: the loop divides by its sum over micro-batches and processes."""
        return {self.head: self._counted(batch).sum()}

    def _counted(self, batch: Batch) -> Tensor:
        return batch.targets[self.head]["mask"] & batch.anything()  # [B]
