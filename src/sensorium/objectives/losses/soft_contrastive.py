"""The contrastive loss against a teacher's embeddings, of which a share of the target is the teacher's own."""

import torch
from torch import Tensor
from torch.nn import functional as F

from sensorium.objectives.losses.rows import in_full


@in_full
def soft_contrastive(
    queries: Tensor,
    candidates: tuple[Tensor, ...],
    positives: Tensor,
    teacher: Tensor,
    logit_scale: Tensor,
    alpha: float,
) -> Tensor:
    """float32 [N]: the cross-entropy of each query's choice among the candidates (Li et al. 2021, arXiv:2107.07651,
    equations 1, 2 and 6).

    queries: float [N, E], of the student. candidates: of the teacher's other side, in parts float [m, E] of M rows
    together, the batch's and the queue's. positives: bool [N, M], over which the hard part of the target, 1 - `alpha`,
    is spread evenly. teacher: float [N, E], the teacher's queries, whose own choice is the rest of the target.
    logit_scale: float [], the logarithm of the factor on the cosines; through the target it has no gradient."""
    scale = logit_scale.exp()
    target = positives / positives.sum(dim=1, keepdim=True)  # [N, M]
    if alpha:
        soft = _products(scale.detach() * teacher, candidates).softmax(dim=1)
        target = alpha * soft + (1 - alpha) * target
    return F.cross_entropy(_products(scale * queries, candidates), target, reduction="none")


def _products(queries: Tensor, candidates: tuple[Tensor, ...]) -> Tensor:
    """float [N, M]: the queue is far larger than what is computed from it, so it is not copied behind the batch."""
    return torch.cat([queries @ block.T.to(queries.dtype) for block in candidates], dim=1)
