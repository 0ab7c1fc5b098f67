"""The dual loss: each of two embeddings reconstructs the other, and itself by way of the other."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from sensorium.features import Loss
from sensorium.objectives.losses.pairs import both_present
from sensorium.objectives.losses.rows import in_full


@in_full
def dual(
    a: Tensor,
    b: Tensor,
    forth: Callable[[Tensor], Tensor],
    back: Callable[[Tensor], Tensor],
    present_a: Tensor | None = None,
    present_b: Tensor | None = None,
    gap: float = 1.0,
) -> Loss:
    """Each side's reconstruction of the other, both sides' way there and back, and how unlike the two ways are.

    With unit vectors and f for `forth`, g for `back`, a row's loss is

        (|f(a) - b|² + |g(b) - a|²) / 2 + (|g(f(a)) - a|² + |f(g(b)) - b|²) / 2 + gap · (|f(a) - b|² - |g(b) - a|²)²

    The closed loop is that of dual learning (He et al. 2016, arXiv:1611.00179). The last term is the duality gap (Xia
    et al. 2017, arXiv:1707.00415): the two ways of writing log p(a, b), log p(a) + log p(b | a) and log p(b) +
    log p(a | b), must agree. The conditional densities are Gaussian around the reconstructions, so that their
    logarithms are the squared errors up to a factor; the marginals are taken as uniform on the sphere, and so cancel.
    What is to be reached has no gradient, without which the least loss is one point for all rows (as in SimSiam, Chen &
    He 2021, arXiv:2011.10566).

    a: float [N, E_a], b: float [N, E_b], unit length. forth: [n, E_a] → [n, E_b], back: [n, E_b] → [n, E_a].
    present_a, present_b: bool [N]; a row that lacks a side counts for nothing. `total` is the sum over rows, `count`
    the rows that have both sides."""
    present = both_present(a, present_a, present_b)
    rows = present.nonzero()[:, 0]
    a, b = a[rows], b[rows]
    to_b, to_a = _unit(forth, a), _unit(back, b)
    error_b, error_a = _distance(to_b, b), _distance(to_a, a)  # [rows]
    round_a, round_b = _distance(_unit(back, to_b), a), _distance(_unit(forth, to_a), b)
    losses = (error_b + error_a + round_a + round_b) / 2 + gap * (error_b - error_a).square()
    return Loss(losses.sum(), present.sum())


def _unit(mapped: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return F.normalize(mapped(rows), dim=1)


def _distance(reconstruction: Tensor, goal: Tensor) -> Tensor:
    return (reconstruction - goal.detach()).square().sum(dim=1)
