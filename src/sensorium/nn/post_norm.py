"""BERT's layers over packed tokens (Devlin et al. 2018, arXiv:1810.04805): each step normalises what it has summed.
`residual` has the corresponding layers that normalise first. Weights start as BERT's, normal with a deviation of 0.02
at its width of 768, and wider in narrower models."""

from dataclasses import dataclass
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
    """A context as blocks attend to it: each block's keys and values, and which rows have the context, bool [B]."""

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
        """float [B, S, W], bool [B, S] -> what each `Block` attends to. Nothing is read where `mask` is False."""
        packing = Packing.of(mask)
        projected = into_heads(packing.pad(self.linear(packing.pack(tokens))), 2 * self.layers, self.heads)
        allowed = allowed_of(packing)
        keys = [Keys(key, value, allowed) for key, value in zip(projected[::2], projected[1::2], strict=True)]
        return Asked(keys, mask.any(dim=1))


@dataclass
class DecoderState:
    """What causal blocks keep while they write: N = B * beams rows, the beams of each of B samples in turn.

    contexts: what is attended to, once a sample for all of its beams.
    past:     each block's keys and values of the tokens read so far, [N, heads, length, d]; None before the first."""

    contexts: list[Asked]
    past: list[Keys | None]
    beams: int = 1

    @property
    def length(self) -> int:
        """How many tokens each row has read."""
        return 0 if self.past[0] is None else self.past[0].key.shape[2]

    def take(self, index: Tensor) -> "DecoderState":
        """The state whose beams are the rows `index`, int64 [samples, beams], in that order and with repetition; the
        rows of index[i] are all beams of one sample."""
        contexts, samples = self.contexts, index[:, 0] // self.beams  # [samples]
        # The beams of a sample share its contexts, so that re-ordering beams moves no context.
        if not torch.equal(samples, torch.arange(len(contexts[0].present), device=index.device)):
            contexts = [context.take(samples) for context in contexts]
        past = [None if keys is None else keys.take(index.flatten()) for keys in self.past]
        return DecoderState(contexts, past, index.shape[1])


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

    def of_first(self, x: Tensor, packing: Packing, first: Packing, index: Tensor) -> Tensor:
        """What `forward` gives, where it is not causal, for the first tokens, which `Packing.first` locates."""
        queries, context = self.qkv(x).split([x.shape[1], 2 * x.shape[1]], dim=1)
        (query,) = into_heads(first.pad(queries[index]), 1, self.heads)
        keys = into_heads(packing.pad(context), 2, self.heads)
        return self._add(x[index], joined(attend(query, *keys, allowed_of(packing)), first))

    def step(self, x: Tensor, past: Keys | None) -> tuple[Tensor, Keys]:
        """What `forward` gives, where it is causal, for the token that follows those of `past` in each row: float32 [N,
        D] -> the same shape, and the keys and values of all tokens."""
        query, key, value = into_heads(self.qkv(x)[:, None], 3, self.heads)  # [N, heads, 1, d]
        if past is not None:
            key, value = torch.cat([past.key, key], dim=2), torch.cat([past.value, value], dim=2)
        return self._add(x, attend(query, key, value).flatten(1)), Keys(key, value, None)

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
        attended = self.norm(x + self.dropout(self.out(joined(attend(query, *keys), packing))))
        has_context = packing.pack(present[:, None].expand(-1, packing.longest))  # [N]
        return torch.where(has_context[:, None], attended, x)


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
        first, index = packing.first(x.device)
        return self._after(self.attention.of_first(x, packing, first, index), first, contexts)

    def step(
        self, x: Tensor, past: Keys | None, packing: Packing, contexts: list[tuple[Keys, Tensor]]
    ) -> tuple[Tensor, Keys]:
        """What `forward` gives, where it is causal, for the token that follows those of `past`: float32 [N, D] -> the
        same shape, and the keys and values of all tokens. packing: of the N rows as the contexts see them."""
        x, keys = self.attention.step(x, past)
        return self._after(x, packing, contexts), keys

    def _after(self, x: Tensor, packing: Packing, contexts: list[tuple[Keys, Tensor]] | tuple[()]) -> Tensor:
        for crossing, (keys, present) in zip(self.crossings, contexts, strict=True):
            x = crossing(x, packing, keys, present)
        return self.norm(x + self.dropout(self.fall(F.gelu(self.rise(x)))))


def run(blocks: nn.ModuleList, x: Tensor, packing: Packing, asked: list[Asked], first: bool = False) -> Tensor:
    """float32 [N, D], packed, through `blocks`, which attend to the contexts `asked` -> the same shape; or, with
    `first`, the first token of each row that has one, float32 [rows with one, D], for less work in the last block."""
    for i, block in enumerate(blocks):
        forward = block.of_first if first and i == len(blocks) - 1 else block
        x = forward(x, packing, _keys_of(asked, i))
    return x


def run_step(blocks: nn.ModuleList, x: Tensor, state: DecoderState) -> Tensor:
    """float32 [N, D], the next token of each row of `state`, which grows by it -> the same, through causal `blocks`."""
    # A context sees the beams of a sample as the tokens of one row: one product of matrices in place of many.
    packing = Packing(len(state.contexts[0].present), state.beams)
    for i, block in enumerate(blocks):
        x, state.past[i] = block.step(x, state.past[i], packing, _keys_of(state.contexts, i))
    return x


def _keys_of(asked: list[Asked], layer: int) -> list[tuple[Keys, Tensor]]:
    return [(context.keys[layer], context.present) for context in asked]


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
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand(len(tokens), -1)  # [B, L]
        return self._embed(packing.pack(tokens), packing.pack(positions))

    def step(self, tokens: Tensor, position: int) -> Tensor:
        """int64 [N], tokens at one position of their texts -> float32 [N, D]."""
        return self._embed(tokens, torch.full_like(tokens, position))

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.dropout(self.norm(self.words(tokens) + self.kinds[0] + self.places(positions)))


class WordLogits(nn.Module):
    """The logits of each word: a layer with GELU and LayerNorm, then the products with the words' embeddings."""

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
