"""Learning to fill in words of a text from the rest of it and from the other inputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Batch, Loss
from sensorium.objectives.momentum import Momentum
from sensorium.objectives.step import Step


class Masked(nn.Module):
    """Masked language modelling (Devlin et al. 2018, arXiv:1810.04805) over what is fused, by the model's head `head`;
    with a `teacher`, a share of the target is what it would fill in (ALBEF, Li et al. 2021, arXiv:2107.07651, equations
    3 and 7).

    view: of the leading text, such as "text/masked". Beside its tokens it has `labels`, int64 [B, L]: the true word
    where one was masked, negative elsewhere. Each masked word counts once. `weight`: of this loss in the sum."""

    reads = "fused"

    def __init__(self, head: str, view: str, teacher: Momentum | None = None, weight: float = 1.0):
        super().__init__()
        self.head, self.view, self.teacher = head, view, teacher
        self.views = (view,)
        self.weights = {head: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over masked words; no logits are computed anywhere else."""
        labels = self._labels(step.batch)
        masked = labels >= 0
        logits = self._logits(step, masked)  # [M, V]
        losses = F.cross_entropy(logits, labels[masked], reduction="none")
        if self.teacher is not None and self.teacher.alpha:
            with torch.no_grad():
                teacher_words = self._logits(self.teacher.step(step.batch, step.views), masked).softmax(dim=1)
            losses = losses.lerp(F.cross_entropy(logits, teacher_words, reduction="none"), self.teacher.alpha)
        return {self.head: Loss(losses.sum(), masked.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many words `forward` will count."""
        return {self.head: (self._labels(batch) >= 0).sum()}

    def _labels(self, batch: Batch) -> Tensor:
        value = batch.inputs[self.view]
        return value["labels"].masked_fill(~value["mask"], -1)  # [B, L]

    def _logits(self, step: Step, masked: Tensor) -> Tensor:
        name = step.model.input_of(self.view)
        return step.model.heads[self.head].logits(step.fused(**{name: self.view}), masked)
