"""The Jensen-Shannon lower bound on the mutual information of two inputs."""

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sensorium.features import Loss
from sensorium.objectives.losses.pairs import meet
from sensorium.objectives.losses.rows import gathered, in_full, strips


@in_full
def jensen_shannon(
    a: Tensor,
    b: Tensor,
    ids_a: Tensor,
    ids_b: Tensor,
    log_factor: Tensor,
    bias: Tensor,
    labels: Tensor | None = None,
    present_a: Tensor | None = None,
    present_b: Tensor | None = None,
    group: dist.ProcessGroup | None = None,
) -> Loss:
    """The mean of softplus(-t) over pairs that belong together, plus that of softplus(t) over all others.

    t = exp(log_factor) · a_i · b_j + bias says whether row i of a and row j of b are of one record. Less 2 ln 2, which
    is where a t of 0 stands, this is minus twice a lower bound on the Jensen-Shannon divergence between pairs of
    records and pairs of different records, a bounded measure of mutual information (Hjelm et al. 2019,
    arXiv:1808.06670, eq. 4; Nowozin et al. 2016, arXiv:1606.00709). The mean over negatives weighs as much as that over
    positives, however many negatives there are.

    log_factor, bias: float []. `total` is the mean's, times the rows that have both sides, which are `count`; with a
    `group` the totals' sum over the processes is that of all rows in one. Extra memory is O(N · E) and a strip of the
    matrix of all pairs. All else is as in `softmax_contrastive`, and so is what it raises."""
    a, b, meeting = meet(a, b, [ids_a, ids_b, labels], present_a, present_b, group)
    [all_b] = gathered(meeting.ring, b)
    # A process without rows needs gradients too, for which the other processes wait.
    sums = torch.stack([a.sum() + log_factor, all_b.sum() + bias]) * 0.0
    for rows, together in strips(meeting):
        sums = sums + checkpoint(
            _strip, a[rows], all_b, together, log_factor, bias, use_reentrant=False, preserve_rng_state=False
        )
    pairs, positives = len(all_b) ** 2, int(meeting.positives.counts.sum())
    numbers = sums.new_tensor([max(1, positives), max(1, pairs - positives)])
    return Loss(len(all_b) * (sums / numbers).sum(), torch.tensor(len(a), device=a.device))


def _strip(a: Tensor, b: Tensor, together: Tensor, log_factor: Tensor, bias: Tensor) -> Tensor:
    """[2]: the sums over the pairs that belong together, and over the others."""
    score = log_factor.exp() * a @ b.T + bias  # [n, all rows]
    losses = F.softplus(torch.where(together, -score, score))
    return torch.stack([torch.where(together, losses, 0.0).sum(), torch.where(together, 0.0, losses).sum()])
