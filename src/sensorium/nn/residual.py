"""Residual steps over packed tokens: self-attention, attention to a context and an MLP, each on a normalised copy. A
transformer block is two or three of them in sequence. Only the attention itself is computed on padding."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sensorium.nn.attend import attend
from sensorium.nn.attention import check_heads
from sensorium.nn.packing import Packing


class Keys(NamedTuple):
    """The keys and values that queries attend to.

    key, value: float [B, heads, S, d]; a value is zero where it is padding.
    allowed:    bool [B, 1, 1, S], the keys that are attended to, all of them in a row without a real one; None for all.
    """

    key: Tensor
    value: Tensor
    allowed: Tensor | None

    def take(self, index: Tensor) -> "Keys":
        """The rows `index`, int64 [N], in that order and with repetition."""
        return Keys(*(None if tensor is None else tensor.index_select(0, index) for tensor in self))


class SelfAttention(nn.Module):
    """x + attention(norm(x)), of `heads` heads; `dropout` acts on what is added. causal: no token sees a later one."""

    def __init__(self, dim: int, heads: int, dropout: float, causal: bool = False):
        super().__init__()
        check_heads(dim, heads)
        self.heads, self.causal = heads, causal
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """float32 [N, D], packed -> the same shape."""
        query, key, value = into_heads(packing.pad(self.qkv(self.norm(x))), 3, self.heads)
        # Padding comes last in a row, so that a causal query never sees it.
        allowed = None if self.causal else allowed_of(packing)
        return x + self.dropout(self.out(joined(attend(query, key, value, allowed, self.causal), packing)))

    def step(self, x: Tensor, past: Keys | None) -> tuple[Tensor, Keys]:
        """What `forward` gives, where it is causal, for the token that follows those of `past` in each row: float32 [N,
        D] -> the same shape, and the keys and values of all tokens.
        """
        query, key, value = into_heads(self.qkv(self.norm(x))[:, None], 3, self.heads)  # [N, heads, 1, d]
        if past is not None:
            key, value = torch.cat([past.key, key], dim=2), torch.cat([past.value, value], dim=2)
        return x + self.out(attend(query, key, value).flatten(1)), Keys(key, value, None)


class Crossing(nn.Module):
    """x + attention(norm(x), context), of `heads` heads; nothing is added in a row without context."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        # Without a bias, zero values stay zero: a row without context needs no special case.
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, packing: Packing, keys: Keys) -> Tensor:
        """float32 [N, D], packed -> the same shape."""
        (query,) = into_heads(packing.pad(self.query(self.norm(x))), 1, self.heads)
        return x + self.dropout(self.out(joined(attend(query, *keys), packing)))


class KeysOf(nn.Module):
    """A context's keys and values for `readers` steps of Crossing at once: one norm and one matrix."""

    def __init__(self, dim: int, heads: int, readers: int):
        super().__init__()
        check_heads(dim, heads)
        self.heads, self.readers = heads, readers
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, 2 * readers * dim)

    def forward(self, x: Tensor, packing: Packing) -> list[Keys]:
        """float32 [N, D], packed -> the keys and values of each reader."""
        projections = into_heads(packing.pad(self.linear(self.norm(x))), 2 * self.readers, self.heads)
        allowed = allowed_of(packing)
        return [Keys(key, value, allowed) for key, value in zip(projections[::2], projections[1::2], strict=True)]


class FeedForward(nn.Module):
    """x + MLP(norm(x)), with GELU, `ratio` times as wide inside; `dropout` inside and on what is added."""

    def __init__(self, dim: int, ratio: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        rise, fall = nn.Linear(dim, ratio * dim), nn.Linear(ratio * dim, dim)
        self.mlp = nn.Sequential(rise, nn.GELU(), nn.Dropout(dropout), fall, nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """float32 [..., D] -> the same shape."""
        return x + self.mlp(self.norm(x))


def allowed_of(packing: Packing) -> Tensor | None:
    """bool [B, 1, 1, L]: the tokens that are attended to, all of them in a row without a real one; None for all."""
    if packing.mask is None:
        return None
    # A softmax over no key is NaN, in the backward pass too: a row without any attends to its padding, which is zero.
    return (packing.mask | ~packing.mask.any(dim=1, keepdim=True))[:, None, None]  # [B, 1, 1, L]


def into_heads(x: Tensor, count: int, heads: int) -> tuple[Tensor, ...]:
    """[B, L, count * D], `count` projections side by side -> `count` times [B, heads, L, D / heads]."""
    return _Heads.apply(x.unflatten(-1, (count, heads, -1)))


class _Heads(torch.autograd.Function):
    """[B, L, count, heads, d] -> `count` times [B, heads, L, d], contiguous, as matrix products need it. Its backward
    pass is one copy; autograd's own stacks transposed gradients, which is slow on a CPU."""

    @staticmethod
    def forward(ctx, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(projection.transpose(1, 2).contiguous() for projection in x.unbind(2))

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Tensor:
        rows, heads, length, width = gradients[0].shape
        stacked = gradients[0].new_empty(rows, length, len(gradients), heads, width)
        for i, gradient in enumerate(gradients):
            stacked[:, :, i] = gradient.transpose(1, 2)
        return stacked


def joined(attended: Tensor, packing: Packing) -> Tensor:
    """[B, heads, L, D / heads] -> [N, D], packed."""
    return packing.pack(attended.transpose(1, 2).flatten(2))
