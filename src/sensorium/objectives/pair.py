"""Two inputs of a record, for objectives that learn which inputs belong together."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist

from sensorium.features import Batch
from sensorium.objectives.step import Step


class Pair(NamedTuple):
    """Inputs `a` and `b`. Records with the same content on either side belong together, as do those of one class of the
    target `labels`, if that is given; one that lacks a side counts for nothing. In training each process's records are
    compared with those of all others."""

    a: str
    b: str
    labels: str | None = None

    def count(self, batch: Batch) -> Tensor:
        """int64 []: how many records have both inputs."""
        return (batch.present(self.a) & batch.present(self.b)).sum()

    def sides(self, step: Step) -> dict[str, Any]:
        """The arguments of losses. In training the processes share the loss."""
        batch = step.batch
        return {
            "a": step.embedding(self.a),
            "b": step.embedding(self.b),
            "ids_a": batch.ids[self.a],
            "ids_b": batch.ids[self.b],
            "labels": self._labels(batch),
            "present_a": batch.present(self.a),
            "present_b": batch.present(self.b),
            "group": together(step),
        }

    def _labels(self, batch: Batch) -> Tensor | None:
        if self.labels is None:
            return None
        target = batch.targets[self.labels]
        return torch.where(target["mask"], target["label"], -1)


def together(step: Step) -> dist.ProcessGroup | None:
    """The processes that share a loss that compares rows with each other; None for this process alone. In validation
    they may have different numbers of batches, and would wait for each other for ever."""
    shared = step.model.training and dist.is_available() and dist.is_initialized()
    return dist.group.WORLD if shared else None
