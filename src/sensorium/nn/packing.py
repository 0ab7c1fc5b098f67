"""Rows of different lengths laid end to end, so that nothing is computed on padding; padded only for attention."""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Where the N real tokens of B rows of at most L tokens are when they are laid end to end, row by row.

    rows, longest: B and L.
    positions: int64 [N], the position of each token among the B * L of the padded rows; None when every row has L.
    mask:      bool [B, L], True where a token is real; None when all are."""

    rows: int
    longest: int
    positions: Tensor | None = None
    mask: Tensor | None = None

    @classmethod
    def of(cls, mask: Tensor) -> "Packing":
        """The packing of the tokens where `mask`, bool [B, L], is True."""
        if mask.all():
            return cls(*mask.shape)
        return cls(*mask.shape, mask.flatten().nonzero()[:, 0], mask)

    def pack(self, x: Tensor) -> Tensor:
        """[B, L, ...] -> [N, ...], the real tokens."""
        x = x.flatten(0, 1)  # [B * L, ...]
        return x if self.positions is None else _Take.apply(x, self.positions)

    def pad(self, x: Tensor) -> Tensor:
        """[N, ...] -> [B, L, ...], zero where there is no token."""
        if self.positions is not None:
            x = _Put.apply(x, self.positions, self.rows * self.longest)
        return x.unflatten(0, (self.rows, self.longest))

    def first(self, device: torch.device) -> tuple["Packing", Tensor]:
        """The packing of the first real token of each row that has one, and its index among the N, int64 [rows]."""
        if self.mask is None:
            return Packing(self.rows, 1), self.longest * torch.arange(self.rows, device=device)
        has = self.mask.any(dim=1)
        starts = self.longest * has.nonzero()[:, 0]
        return Packing.of(has[:, None]), torch.searchsorted(self.positions, starts)

    def index(self, positions: Tensor) -> Tensor:
        """int64 [B], a position in each row -> int64 [B], the index of that token among the N."""
        padded = positions + self.longest * torch.arange(self.rows, device=positions.device)
        return padded if self.positions is None else torch.searchsorted(self.positions, padded)


class _Take(torch.autograd.Function):
    """x[positions], all distinct: its backward pass is a plain copy, where that of indexing adds."""

    @staticmethod
    def forward(ctx, x: Tensor, positions: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        ctx.count = len(x)
        return x.index_select(0, positions)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (positions,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.count, *gradient.shape[1:]).index_copy_(0, positions, gradient), None


class _Put(torch.autograd.Function):
    """Zeros [count, ...] with x at `positions`: the transpose of `_Take`."""

    @staticmethod
    def forward(ctx, x: Tensor, positions: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(positions)
        return x.new_zeros(count, *x.shape[1:]).index_copy_(0, positions, x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.index_select(0, ctx.saved_tensors[0]), None, None
