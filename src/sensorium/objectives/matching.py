"""Learning which inputs belong together once they are fused, from pairs that are easily confused."""

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
    evaluation it is the most similar one. Records that share the content of `a` or of `b` are never negatives. Each
    loss counts three pairs a record, or one where there is no negative. The model has no inputs but the two. `weight`:
    of this loss in the sum."""

    reads = "fused"

    def __init__(self, head: str, a: str, b: str, weight: float = 1.0):
        super().__init__()
        self.head, self.pair = head, Pair(a, b)
        self.weights = {head: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over pairs, which go through the fusion all at once."""
        negatives = self._negatives(step.batch)
        draws = self._draw(step, negatives)
        rows_a = torch.cat([negatives.rows, negatives.paired, draws.rows_a])
        rows_b = torch.cat([negatives.rows, draws.rows_b, negatives.paired])
        fused = self._fused(step, rows_a, rows_b)
        match = torch.arange(len(rows_a), device=rows_a.device) < len(negatives.rows)
        losses = step.model.heads[self.head].loss(fused, {"match": match})  # [pairs]
        return {self.head: Loss(losses.sum(), torch.tensor(len(rows_a), device=rows_a.device))}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many pairs `forward` will count."""
        negatives = self._negatives(batch)
        return {self.head: torch.tensor(len(negatives.rows) + 2 * len(negatives.paired), device=negatives.rows.device)}

    def _negatives(self, batch: Batch) -> "_Negatives":
        a, b, _ = self.pair
        both = batch.present(a) & batch.present(b)  # [B]
        ids_a, ids_b = batch.ids[a], batch.ids[b]
        same = (ids_a[:, None] == ids_a) | (ids_b[:, None] == ids_b)
        allowed = both[:, None] & both & ~same  # [B, B]
        return _Negatives(both.nonzero()[:, 0], allowed.any(dim=1).nonzero()[:, 0], allowed)

    def _draw(self, step: Step, negatives: "_Negatives") -> "_Draws":
        a, b, _ = self.pair
        # The step keeps what it is asked for, and others take gradients of it: so they are cut off here, not before.
        logits = (step.model.logit_scale.exp() * step.similarity(a, b).float()).detach()  # [B, B]
        rows = negatives.paired
        choices = []
        for direction_logits in (logits, logits.T):
            allowed_logits = direction_logits.masked_fill(~negatives.allowed, -torch.inf)[rows]
            probabilities = allowed_logits.softmax(dim=1)  # [rows, B]
            samples = self.training and len(rows) > 0  # of no rows multinomial refuses to draw
            choices.append(torch.multinomial(probabilities, 1)[:, 0] if samples else probabilities.argmax(dim=1))
        return _Draws(rows_a=choices[1], rows_b=choices[0])

    def _fused(self, step: Step, rows_a: Tensor, rows_b: Tensor) -> Features:
        """The rows `rows_a` of `a`, int64 [pairs], with the rows `rows_b` of `b`, fused."""
        rows_of, fusion = {self.pair.a: rows_a, self.pair.b: rows_b}, step.model.fusion
        if not hasattr(type(fusion), "asked"):
            return step.model.fuse({name: step.features(name).take(rows) for name, rows in rows_of.items()})
        contexts = [context.take(rows_of[name]) for name, context in zip(fusion.context, step.asked(), strict=True)]
        query = step.features(fusion.query).take(rows_of[fusion.query])
        return fusion({fusion.query: query}, contexts, summary_only=True)


class _Negatives(NamedTuple):
    """rows: int64, those with both inputs. paired: int64, those of them that have negatives. allowed: bool [B, B],
    which rows are negatives of a row."""

    rows: Tensor
    paired: Tensor
    allowed: Tensor


class _Draws(NamedTuple):
    """For each row that has negatives, the row of another `a` and of another `b`; int64."""

    rows_a: Tensor
    rows_b: Tensor
