"""Deep canonical correlation: how much of two inputs varies together, in whatever directions."""

import torch
from torch import Tensor
from torch import distributed as dist

from sensorium.features import Loss
from sensorium.objectives.losses.pairs import meet
from sensorium.objectives.losses.rows import gathered, in_full


@in_full
def canonical_correlation(
    a: Tensor,
    b: Tensor,
    present_a: Tensor | None = None,
    present_b: Tensor | None = None,
    directions: int | None = None,
    ridge: float = 1e-3,
    group: dist.ProcessGroup | None = None,
) -> Loss:
    """One less the mean of the `directions` largest canonical correlations of a and b (None: of all E).

    Deep CCA (Andrew et al. 2013): the correlations are the singular values of S_aa^-1/2 S_ab S_bb^-1/2, with the
    covariances over the rows that have both sides. `ridge` times the mean variance is added to the variances. They are
    computed in float64, and with Cholesky factors in the place of square roots: the singular values are the same, and
    their derivatives divide by no differences of eigenvalues. `total` is the loss times the rows, `count` the rows; 1
    for each where there are fewer than two. With a `group` the covariances are those of all processes' rows.

    Many more rows than directions are needed: with 2 E or fewer, some direction of a and of b always agree.
    a, b: float [N, E]. Raises ValueError for shapes that do not fit."""
    # No row is compared with another, so each may have any id.
    unique_ids = torch.arange(len(a), device=a.device)
    rows_a, rows_b, meeting = meet(a, b, [unique_ids], present_a, present_b, group)
    all_a, all_b = (side.double() for side in gathered(meeting.ring, rows_a, rows_b))
    count = len(all_a)
    if count < 2:
        loss = 1.0 + 0.0 * (all_a.sum() + all_b.sum())
    else:
        values = _correlations(all_a, all_b, ridge)
        loss = 1.0 - values[:directions].mean()
    total = len(rows_a) * loss
    return Loss(total.to(torch.promote_types(a.dtype, torch.float32)), torch.tensor(len(rows_a), device=a.device))


def _correlations(a: Tensor, b: Tensor, ridge: float) -> Tensor:
    """float64 [E], descending: of float64 [N, E] twice."""
    a, b = a - a.mean(0), b - b.mean(0)
    factor_a, factor_b = (_factor(side, ridge) for side in (a, b))
    between = a.T @ b / (len(a) - 1)  # [E, E]
    half = torch.linalg.solve_triangular(factor_a, between, upper=False)
    whitened = torch.linalg.solve_triangular(factor_b, half.T, upper=False)
    return torch.linalg.svdvals(whitened)


def _factor(side: Tensor, ridge: float) -> Tensor:
    """The Cholesky factor of the covariance, float64 [E, E], of float64 [N, E]."""
    covariance = side.T @ side / (len(side) - 1)
    # The last term is for rows that are all alike.
    least = ridge * covariance.diagonal().mean() + 1e-12
    return torch.linalg.cholesky(covariance + least * torch.eye(len(covariance), dtype=side.dtype, device=side.device))
