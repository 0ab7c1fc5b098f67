"""Contrastive losses over all pairs of a batch as pure functions, without an N × N matrix.

Both take a tile of the similarities at a time, forward and again backward, and one tile serves both directions. Extra
memory is O(N · E) for the gradients and a few tiles. With a process group each process keeps its own rows, and the b
of the others pass by in a ring."""

import math

import torch
from torch import Tensor
from torch import distributed as dist

from sensorium.features import Loss
from sensorium.objectives.losses.pairs import meet
from sensorium.objectives.losses.sigmoid import SigmoidContrastive
from sensorium.objectives.losses.softmax import SoftmaxContrastive

MOST_SCALE = math.log(100)


def softmax_contrastive(
    a: Tensor,
    b: Tensor,
    ids_a: Tensor,
    ids_b: Tensor,
    logit_scale: Tensor,
    labels: Tensor | None = None,
    present_a: Tensor | None = None,
    present_b: Tensor | None = None,
    group: dist.ProcessGroup | None = None,
) -> Loss:
    """Softmax contrastive loss: InfoNCE in both directions, with several positives where rows share an id or a label.

    Each row of a has to find its positives among all rows of b, and the other way round; the target is spread evenly
    over the positives (UniCL, Yang et al. 2022, arXiv:2204.03610). Unique ids and no labels are CLIP's loss (Radford
    et al. 2021, arXiv:2103.00020). `total` is the sum over rows of half the loss of a's row plus half of b's; `count`
    the rows that have both sides. With a `group` both are of this process's rows: their sums over the processes are
    the loss of all rows in one process, and so are the gradients, of a and b at once and of logit_scale when summed.

    a, b: float [N, E], unit length, of one dtype: float32, float64, or bfloat16, whose losses are float32 still.
    ids_a, ids_b: int64 [N], what each side of a row is; rows with an equal id on either side are positives.
    logit_scale: float [], logarithm of the factor on the cosines; used as it is (see `bound_logit_scale`).
    labels: int64 [N]; rows with the same label are positives too; negative for a row without one.
    present_a, present_b: bool [N]; a row that lacks a side counts for nothing and is nobody's negative.
    group: processes that share the loss; each may bring any number of rows, none too, and all have to call.

    Raises ValueError for shapes that do not fit, and for embeddings so far from unit length, or a factor so far above
    its bound, that logits pass 650."""
    a, b, meeting = meet(a, b, [ids_a, ids_b, labels], present_a, present_b, group)
    return Loss(SoftmaxContrastive.apply(a, b, logit_scale, meeting), torch.tensor(len(a), device=a.device))


def sigmoid_contrastive(
    a: Tensor,
    b: Tensor,
    ids_a: Tensor,
    ids_b: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    labels: Tensor | None = None,
    present_a: Tensor | None = None,
    present_b: Tensor | None = None,
    group: dist.ProcessGroup | None = None,
) -> Loss:
    """Pairwise sigmoid loss (SigLIP, Zhai et al. 2023, arXiv:2303.15343): every pair is a decision of its own. `total`
    is the sum over all pairs of -log sigmoid(± (exp(logit_scale) · cosine + logit_bias)), plus for positives; `count`
    the rows that have both sides, as in the paper. logit_bias: float []. All else as in `softmax_contrastive`."""
    a, b, meeting = meet(a, b, [ids_a, ids_b, labels], present_a, present_b, group)
    return Loss(SigmoidContrastive.apply(a, b, logit_scale, logit_bias, meeting), torch.tensor(len(a), device=a.device))


@torch.no_grad()
def bound_logit_scale(logit_scale: Tensor, low: float | None = 0.0, high: float | None = MOST_SCALE) -> None:
    """Brings the parameter back within its bounds, in place: to be called after each step of the optimiser, as CLIP
    does; a bound within the loss would have no gradient to bring the parameter back. None is no bound, 0.0 is one."""
    if low is not None or high is not None:
        logit_scale.clamp_(min=low, max=high)
