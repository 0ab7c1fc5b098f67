"""Learning which inputs belong together once they are fused, from those that are easily taken for each other."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sensorium.features import Batch, Features, Loss
from sensorium.objectives.pair import Pair
from sensorium.objectives.step import Step


class Matching(nn.Module):
    """ALBEF's matching loss (Li et al. 2021, arXiv:2107.07651): of each record with both `a` and `b`, the model's head
    `head` has to tell the pair itself from `a` with another record's `b` and from `b` with another's `a`.

    Which other is drawn by how alike their embeddings are, the softmax of the similarities within the batch; in
    evaluation it is the likest. Records that share the content of `a` or of `b` are never others. Each loss counts
    three pairs a record, or one where there is no other. The model has no inputs but the two. `weight`: of this loss in
    the sum.
    """

    reads = "fused"

    def __init__(self, head: str, a: str, b: str, weight: float = 1.0):
        super().__init__()
        self.head, self.pair = head, Pair(a, b)
        self.weights = {head: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over pairs, which go through the fusion all at once."""
        others = self._others(step.batch)
        drawn = self._drawn(step, others)
        left = torch.cat([others.rows, others.paired, drawn.left])
        right = torch.cat([others.rows, drawn.right, others.paired])
        fused = self._fused(step, left, right)
        match = torch.arange(len(left), device=left.device) < len(others.rows)
        losses = step.model.heads[self.head].loss(fused, {"match": match})  # [pairs]
        return {self.head: Loss(losses.sum(), torch.tensor(len(left), device=left.device))}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many pairs `forward` will count."""
        others = self._others(batch)
        return {self.head: torch.tensor(len(others.rows) + 2 * len(others.paired), device=others.rows.device)}

    def _others(self, batch: Batch) -> "_Others":
        a, b, _ = self.pair
        both = batch.present(a) & batch.present(b)  # [B]
        ids_a, ids_b = batch.ids[a], batch.ids[b]
        same = (ids_a[:, None] == ids_a) | (ids_b[:, None] == ids_b)
        may = both[:, None] & both & ~same  # [B, B]
        return _Others(both.nonzero()[:, 0], may.any(dim=1).nonzero()[:, 0], may)

    def _drawn(self, step: Step, others: "_Others") -> "_Drawn":
        a, b, _ = self.pair
        # The step keeps what it is asked for, and others take gradients of it: so they are cut off here, not before.
        logits = (step.model.logit_scale.exp() * step.similarity(a, b).float()).detach()  # [B, B]
        rows = others.paired
        found = []
        for one in (logits, logits.T):
            chances = one.masked_fill(~others.may, -torch.inf)[rows].softmax(dim=1)  # [rows, B]
            drawn = self.training and len(rows) > 0  # of no rows multinomial refuses to draw
            found.append(torch.multinomial(chances, 1)[:, 0] if drawn else chances.argmax(dim=1))
        return _Drawn(left=found[1], right=found[0])

    def _fused(self, step: Step, left: Tensor, right: Tensor) -> Features:
        """The rows `left` of `a`, int64 [pairs], with the rows `right` of `b`, fused."""
        places, fusion = {self.pair.a: left, self.pair.b: right}, step.model.fusion
        if not hasattr(type(fusion), "asked"):
            return step.model.fuse({name: step.features(name).take(rows) for name, rows in places.items()})
        asked = [one.take(places[name]) for name, one in zip(fusion.context, step.asked(), strict=True)]
        return fusion({fusion.query: step.features(fusion.query).take(places[fusion.query])}, asked, summary_only=True)


class _Others(NamedTuple):
    """rows: int64, those with both inputs. paired: int64, those of them that have others. may: bool [B, B], which
    rows are others of a row.
    """

    rows: Tensor
    paired: Tensor
    may: Tensor


class _Drawn(NamedTuple):
    """For each row that has others, the row of another `a`, `left`, and of another `b`, `right`; int64."""

    left: Tensor
    right: Tensor
