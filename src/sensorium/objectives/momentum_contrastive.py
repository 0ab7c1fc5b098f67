"""Learning that two inputs of a record belong together, from a teacher and a queue of its latest embeddings."""

import math

import torch
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.losses.contrastive import bound_logit_scale
from sensorium.objectives.losses.ring import Ring
from sensorium.objectives.losses.soft_contrastive import soft_contrastive
from sensorium.objectives.momentum import Momentum, Queue
from sensorium.objectives.pair import Pair, together
from sensorium.objectives.step import Step

SCALE = math.log(2), math.log(1000)  # a temperature of 0.5 to 0.001, as published


class MomentumContrastive(nn.Module):
    """ALBEF's image-text contrastive loss (Li et al. 2021, arXiv:2107.07651): the embedding of `a` finds its record's
    `b` among the teacher's embeddings of the batch and of `queue`, and the other way round; a share of the target is
    what the teacher finds.

    Records with the same content belong together (see `Pair`), in the queue too. Records of a micro-batch are compared
    with each other and with the queue, which pairs of training join after the optimiser's step. `weight`: of this loss
    in the sum."""

    reads = "fused"

    def __init__(self, a: str, b: str, teacher: Momentum, queue: Queue, weight: float = 1.0):
        super().__init__()
        self.pair, self.teacher, self.queue = Pair(a, b), teacher, queue
        self.name = f"{a}_{b}"
        self.weights = {self.name: weight}
        self._pending: list[list[Tensor]] = []

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss, the mean of both directions, over the records that have both inputs."""
        (a, b, _), batch, teacher_step = self.pair, step.batch, self.teacher.step(step.batch, step.views)
        rows = (batch.present(a) & batch.present(b)).nonzero()[:, 0]
        embedded_a, embedded_b = teacher_step.embedding(a)[rows], teacher_step.embedding(b)[rows]
        ids_a, ids_b = batch.ids[a][rows], batch.ids[b][rows]
        ring = Ring(together(step), len(rows), rows.device)
        gathered = [ring.gather(tensor) for tensor in (embedded_a, embedded_b, ids_a, ids_b)]
        if self.training:
            self._pending.append(gathered)
        all_a, all_b, *ids = zip(gathered, self.queue.pairs(), strict=True)  # in two parts, of M rows together
        all_ids_a, all_ids_b = (torch.cat(batch_and_queue) for batch_and_queue in ids)  # [M] twice
        positives = (ids_a[:, None] == all_ids_a) | (ids_b[:, None] == all_ids_b)  # [rows, M]
        options = {"logit_scale": step.model.logit_scale, "alpha": self.teacher.alpha}
        forth = soft_contrastive(step.embedding(a)[rows], all_b, positives, embedded_a, **options)
        back = soft_contrastive(step.embedding(b)[rows], all_a, positives, embedded_b, **options)
        count = torch.tensor(len(rows), device=rows.device)
        return {self.name: Loss((forth + back).sum() / 2, count)}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self.pair.count(batch)}

    def post_step(self, model: Model) -> None:
        """Brings the model's `logit_scale` back within its bounds, in place."""
        bound_logit_scale(model.logit_scale, *SCALE)

    def update_state(self, model: Model) -> None:
        """Adds the pairs of the last optimiser step to the queue."""
        for pairs in self._pending:
            self.queue.push(*pairs)
        self._pending.clear()
