"""The parts of BERT over packed tokens (Devlin et al. 2018, arXiv:1810.04805): each step normalises what it has summed.

`residual` has the like that normalise first. Weights start as BERT's, normal with a deviation of 0.02 at its width of
768, and wider in narrower models.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.nn.attend import attend
from sensorium.nn.attention import check_heads
from sensorium.nn.packing import Packing
from sensorium.nn.residual import Keys, allowed_of, into_heads, joined

START = 0.02 * 768**0.5  # the deviation of a weight at the start, times the root of the width


class Shape(NamedTuple):
    """What the blocks of a stack have in common: width, heads, width inside the MLP, dropout, eps of each LayerNorm."""

    dim: int
    heads: int
    hidden: int
    dropout: float
    eps: float


class Asked(NamedTuple):
    """A context as the blocks of a stack ask it: each block's keys and values, and which rows have it, bool [B]."""

    keys: list[Keys]
    present: Tensor

    def take(self, index: Tensor) -> "Asked":
        """The rows `index`, int64 [N], in that order and with repetition."""
        return Asked([keys.take(index) for keys in self.keys], self.present[index])

    def where(self, keep: Tensor) -> "Asked":
        """The same, absent in the rows where `keep`, bool [B], is False."""
        return Asked(self.keys, self.present & keep)


class Asking(nn.Module):
    """A context's keys and values for `layers` blocks at once: one matrix from a token of width `width`."""

    def __init__(self, width: int, shape: Shape, layers: int):
        super().__init__()
        self.heads, self.layers = shape.heads, layers
        self.linear = started(nn.Linear(width, 2 * layers * shape.dim))

    def forward(self, tokens: Tensor, mask: Tensor) -> Asked:
        """float [B, S, W], bool [B, S] -> what `Block` asks. Nothing is read where `mask` is False."""
        packing = Packing.of(mask)
        parts = into_heads(packing.pad(self.linear(packing.pack(tokens))), 2 * self.layers, self.heads)
        allowed = allowed_of(packing)
        keys = [Keys(key, value, allowed) for key, value in zip(parts[::2], parts[1::2], strict=True)]
        return Asked(keys, mask.any(dim=1))


class SelfAttention(nn.Module):
    """norm(x + attention(x)); `causal`: no token sees a later one. Dropout acts on what is added."""

    def __init__(self, shape: Shape, causal: bool):
        super().__init__()
        check_heads(shape.dim, shape.heads)
        self.heads, self.causal = shape.heads, causal
        self.qkv = started(nn.Linear(shape.dim, 3 * shape.dim))
        self.out = started(nn.Linear(shape.dim, shape.dim))
        self.dropout = nn.Dropout(shape.dropout)
        self.norm = nn.LayerNorm(shape.dim, shape.eps)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """float32 [N, D], packed -> the same shape."""
        query, key, value = into_heads(packing.pad(self.qkv(x)), 3, self.heads)
        # Padding comes last in a row, so that a causal query never sees it.
        allowed = None if self.causal else allowed_of(packing)
        return self._add(x, joined(attend(query, key, value, allowed, self.causal), packing))

    def of_first(self, x: Tensor, packing: Packing, first: Packing, places: Tensor) -> Tensor:
        """What `forward` gives, where it is not causal, for the first tokens, as `Packing.first` has found them."""
        asking, asked = self.qkv(x).split([x.shape[1], 2 * x.shape[1]], dim=1)
        (query,) = into_heads(first.pad(asking[places]), 1, self.heads)
        keys = into_heads(packing.pad(asked), 2, self.heads)
        return self._add(x[places], joined(attend(query, *keys, allowed_of(packing)), first))

    def _add(self, x: Tensor, attended: Tensor) -> Tensor:
        return self.norm(x + self.dropout(self.out(attended)))


class Crossing(nn.Module):
    """norm(x + attention(x, context)); in a row without the context, x as it is."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.heads = shape.heads
        self.query = started(nn.Linear(shape.dim, shape.dim))
        self.out = started(nn.Linear(shape.dim, shape.dim))
        self.dropout = nn.Dropout(shape.dropout)
        self.norm = nn.LayerNorm(shape.dim, shape.eps)

    def forward(self, x: Tensor, packing: Packing, keys: Keys, present: Tensor) -> Tensor:
        """float32 [N, D], packed; `present` bool [B], who has the context -> the same shape."""
        (query,) = into_heads(packing.pad(self.query(x)), 1, self.heads)
        new = self.norm(x + self.dropout(self.out(joined(attend(query, *keys), packing))))
        has = packing.pack(present[:, None].expand(-1, packing.longest))  # [N]
        return torch.where(has[:, None], new, x)


class Block(nn.Module):
    """Self-attention, attention to each of `contexts` contexts in turn, and an MLP with GELU."""

    def __init__(self, shape: Shape, contexts: int = 0, causal: bool = False):
        super().__init__()
        self.attention = SelfAttention(shape, causal)
        self.crossings = nn.ModuleList(Crossing(shape) for _ in range(contexts))
        self.rise = started(nn.Linear(shape.dim, shape.hidden))
        self.fall = started(nn.Linear(shape.hidden, shape.dim))
        self.dropout = nn.Dropout(shape.dropout)
        self.norm = nn.LayerNorm(shape.dim, shape.eps)

    def forward(self, x: Tensor, packing: Packing, contexts: list[tuple[Keys, Tensor]] | tuple[()] = ()) -> Tensor:
        """float32 [N, D], packed; of each context this block's keys and who has it, bool [B] -> the same shape."""
        return self._after(self.attention(x, packing), packing, contexts)

    def of_first(self, x: Tensor, packing: Packing, contexts: list[tuple[Keys, Tensor]] | tuple[()] = ()) -> Tensor:
        """What `forward` gives for the first token of each row that has one, and no work on the others."""
        first, places = packing.first(x.device)
        return self._after(self.attention.of_first(x, packing, first, places), first, contexts)

    def _after(self, x: Tensor, packing: Packing, contexts: list[tuple[Keys, Tensor]] | tuple[()]) -> Tensor:
        for crossing, (keys, present) in zip(self.crossings, contexts, strict=True):
            x = crossing(x, packing, keys, present)
        return self.norm(x + self.dropout(self.fall(F.gelu(self.rise(x)))))


def run(blocks: nn.ModuleList, x: Tensor, packing: Packing, asked: list[Asked], first: bool = False) -> Tensor:
    """float32 [N, D], packed, through `blocks`, which ask the contexts `asked` -> the same shape; or, with `first`, the
    first token of each row that has one, float32 [rows with one, D], for less work in the last block.
    """
    for i, block in enumerate(blocks):
        work = block.of_first if first and i == len(blocks) - 1 else block
        x = work(x, packing, [(one.keys[i], one.present) for one in asked])
    return x


class Embeddings(nn.Module):
    """Words, their places and the kind of text they are of (always the first of `kinds`), normalised."""

    def __init__(self, vocabulary: int, context: int, kinds: int, shape: Shape):
        super().__init__()
        self.words = started(nn.Embedding(vocabulary, shape.dim))
        self.places = started(nn.Embedding(context, shape.dim))
        self.kinds = nn.Parameter(torch.randn(kinds, shape.dim) * START * shape.dim**-0.5)
        self.norm = nn.LayerNorm(shape.dim, shape.eps)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, tokens: Tensor, packing: Packing) -> Tensor:
        """int64 [B, L], and which of them are real -> float32 [N, D], packed."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(len(tokens), -1)  # [B, L]
        words, places = self.words(packing.pack(tokens)), self.places(packing.pack(places))
        return self.dropout(self.norm(words + self.kinds[0] + places))


class WordLogits(nn.Module):
    """How likely each word is: a layer with GELU and LayerNorm, then the products with the words' embeddings."""

    def __init__(self, dim: int, vocabulary: int, eps: float):
        super().__init__()
        self.dense = started(nn.Linear(dim, dim))
        self.norm = nn.LayerNorm(dim, eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """float [M, D], embeddings [V, D] -> logits, float [M, V]."""
        return F.linear(self.norm(F.gelu(self.dense(x))), words, self.bias)


def started(layer: nn.Linear | nn.Embedding) -> nn.Linear | nn.Embedding:
    """The layer with weights as BERT's start."""
    nn.init.normal_(layer.weight, std=START * layer.weight.shape[1] ** -0.5)
    if isinstance(layer, nn.Linear):
        nn.init.zeros_(layer.bias)
    return layer
