"""For losses that compare each row with all rows: the rows of other processes, and strips of a few rows."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from sensorium.objectives.losses.pairs import Meeting
from sensorium.objectives.losses.ring import Ring

ROWS = 1024  # of a matrix of all pairs that are worked on at a time

Answer = TypeVar("Answer")


def in_full(loss: Callable[..., Answer]) -> Callable[..., Answer]:
    """A loss whose products autocast leaves as wide as its arguments are; the first is a tensor."""

    @wraps(loss)
    def without_autocast(a: Tensor, *arguments, **options) -> Answer:
        with torch.autocast(a.device.type, enabled=False):
            return loss(a, *arguments, **options)

    return without_autocast


def gathered(ring: Ring, *tensors: Tensor) -> list[Tensor]:
    """The rows of every process, in order, of each of the `tensors`, [own rows, ...] → [all rows, ...]. The gradient of
    a row is summed over all processes and goes back to the process that has the row. All processes have to run its
    backward pass, or none."""
    if ring.size == 1:
        return list(tensors)
    widths = [tensor.shape[1] for tensor in tensors]
    # One message: several could arrive in different orders at two processes.
    return list(Gathered.apply(torch.cat(tensors, dim=1), ring).split(widths, dim=1))


class Gathered(torch.autograd.Function):
    """The rows of every process; the gradient of a row is the sum of those that each process has for it."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, ring: Ring) -> Tensor:
        """[own rows, E] → [all rows, E]."""
        ctx.ring = ring
        return ring.gather(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        """[all rows, E] → [own rows, E]."""
        ring = ctx.ring
        start = ring.starts[ring.rank]
        return ring.total(grad)[start : start + ring.rows[ring.rank]], None


def strips(meeting: Meeting) -> Iterator[tuple[slice, Tensor]]:
    """This process's rows, ROWS at a time, and which of all processes' rows each belongs with, bool [n, all rows]."""
    ring, total = meeting.ring, sum(meeting.ring.rows)
    own_rows, start = ring.rows[ring.rank], ring.starts[ring.rank]
    for first in range(0, own_rows, ROWS):
        rows = slice(first, min(first + ROWS, own_rows))
        i, j = meeting.positives.within(slice(start + rows.start, start + rows.stop), slice(0, total))
        together = torch.zeros(rows.stop - rows.start, total, dtype=torch.bool, device=i.device)
        together[i, j] = True
        yield rows, together
