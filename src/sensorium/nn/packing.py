"""Rows of different lengths laid end to end, so that nothing is computed on padding; padded only for attention."""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Where the tokens of B rows of at most L tokens lie, when N of them are laid end to end, row by row.

    rows, longest: B and L.
    places: int64 [N], the place of each token among the B * L of the padded rows; None when every row has L tokens.
    mask:   bool [B, L], True where a token is real; None when all are.
    """

    rows: int
    longest: int
    places: Tensor | None = None
    mask: Tensor | None = None

    @classmethod
    def of(cls, mask: Tensor) -> "Packing":
        """The packing of the tokens that `mask`, bool [B, L], says are real."""
        if mask.all():
            return cls(*mask.shape)
        return cls(*mask.shape, mask.flatten().nonzero()[:, 0], mask)

    def pack(self, x: Tensor) -> Tensor:
        """[B, L, ...] -> [N, ...], the real tokens."""
        x = x.flatten(0, 1)  # [B * L, ...]
        return x if self.places is None else _Take.apply(x, self.places)

    def pad(self, x: Tensor) -> Tensor:
        """[N, ...] -> [B, L, ...], zero where there is no token."""
        if self.places is not None:
            x = _Put.apply(x, self.places, self.rows * self.longest)
        return x.unflatten(0, (self.rows, self.longest))

    def first(self, device: torch.device) -> tuple["Packing", Tensor]:
        """The packing of the first real token of each row that has one, and int64 [rows with one], where among the N
        it lies.
        """
        if self.mask is None:
            return Packing(self.rows, 1), self.longest * torch.arange(self.rows, device=device)
        has = self.mask.any(dim=1)
        starts = self.longest * has.nonzero()[:, 0]
        return Packing.of(has[:, None]), torch.searchsorted(self.places, starts)

    def index(self, places: Tensor) -> Tensor:
        """int64 [B], a place in each row -> int64 [B], the place of that token among the N."""
        padded = places + self.longest * torch.arange(self.rows, device=places.device)
        return padded if self.places is None else torch.searchsorted(self.places, padded)


class _Take(torch.autograd.Function):
    """x[places], places distinct: its backward is a plain copy, where indexing would add."""

    @staticmethod
    def forward(ctx, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(x)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.count, *gradient.shape[1:]).index_copy_(0, places, gradient), None


class _Put(torch.autograd.Function):
    """Zeros [count, ...] with x at `places`: the transpose of `_Take`."""

    @staticmethod
    def forward(ctx, x: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(places)
        return x.new_zeros(count, *x.shape[1:]).index_copy_(0, places, x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.index_select(0, ctx.saved_tensors[0]), None, None
