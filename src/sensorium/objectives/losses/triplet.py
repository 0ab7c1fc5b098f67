"""The triplet loss, between the inputs of records, with the triplets that teach something chosen from the batch."""

import torch
from torch import Tensor
from torch import distributed as dist

from sensorium.features import Loss
from sensorium.objectives.losses.pairs import Meeting, meet
from sensorium.objectives.losses.rows import gathered, in_full, strips

MININGS = ("semihard", "hardest")


@in_full
def triplet(
    a: Tensor,
    b: Tensor,
    ids_a: Tensor,
    ids_b: Tensor,
    margin: float = 0.2,
    mining: str = "semihard",
    labels: Tensor | None = None,
    present_a: Tensor | None = None,
    present_b: Tensor | None = None,
    group: dist.ProcessGroup | None = None,
) -> Loss:
    """max(0, |x - p|² - |x - n|² + margin) for each row x of a among those of b, and of b among those of a.

    FaceNet's loss (Schroff et al. 2015, arXiv:1503.03832) across two inputs. p belongs together with x, n does not.
    "semihard": p is of x's own record, and n the nearest that is further away than p, or the furthest of all where none
    is. "hardest": p is the furthest that belongs to x and n the nearest that does not (Hermans et al. 2017,
    arXiv:1703.07737). `total` is the sum over rows of half of both directions' losses, 0 in a row without any n;
    `count` the rows that have both sides. Extra memory is O(N · E) and a strip of the matrix of distances.

    All else is as in `softmax_contrastive`, and so is what it raises."""
    a, b, meeting = meet(a, b, [ids_a, ids_b, labels], present_a, present_b, group)
    all_a, all_b = gathered(meeting.ring, a, b)
    total = _one_way(a, all_b, meeting, margin, mining) + _one_way(b, all_a, meeting, margin, mining)
    return Loss(total / 2, torch.tensor(len(a), device=a.device))


def _one_way(anchors: Tensor, candidates: Tensor, meeting: Meeting, margin: float, mining: str) -> Tensor:
    """[]: the sum over `anchors`, [own rows, E], with positives and negatives among `candidates`, [all rows, E]."""
    positive, negative, has_negative = _mined(anchors.detach(), candidates.detach(), meeting, mining)
    near = (anchors - candidates[positive]).square().sum(1)  # [own rows]
    far = (anchors - candidates[negative]).square().sum(1)
    return torch.where(has_negative, (near - far + margin).clamp(min=0), 0.0).sum()


def _mined(anchors: Tensor, candidates: Tensor, meeting: Meeting, mining: str) -> tuple[Tensor, Tensor, Tensor]:
    """Of each anchor the places of p and of n, int64 [own rows], and whether there is an n, bool [own rows]."""
    start = meeting.ring.starts[meeting.ring.rank]
    own_rows = start + torch.arange(len(anchors), device=anchors.device)
    positive, negative, has_negative = own_rows.clone(), own_rows.clone(), torch.zeros_like(own_rows, dtype=torch.bool)
    for rows, together in strips(meeting):
        # Squared distances less |x|², which is the same for all that a row is compared with.
        far = candidates.square().sum(1) - 2 * anchors[rows] @ candidates.T  # [n, all rows]
        has_negative[rows] = ~together.all(dim=1)
        if mining == "hardest":
            positive[rows] = far.masked_fill(~together, -torch.inf).argmax(dim=1)
            negative[rows] = far.masked_fill(together, torch.inf).argmin(dim=1)
        else:
            further = ~together & (far > far.gather(1, own_rows[rows, None]))
            furthest = far.masked_fill(together, -torch.inf).argmax(dim=1)
            nearest = far.masked_fill(~further, torch.inf).argmin(dim=1)
            negative[rows] = torch.where(further.any(dim=1), nearest, furthest)
    return positive, negative, has_negative
