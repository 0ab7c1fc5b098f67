"""A stack of pre-norm transformer blocks, with or without attention to a context."""

import torch
from torch import Tensor, nn

from sensorium.nn.attention import Attention
from sensorium.nn.precision import wide

RATIO = 4  # a block's MLP is so many times as wide inside as its tokens


class Block(nn.Module):
    """Self-attention, attention to a context (given `context_dim`) and an MLP, each on a normalised copy and added."""

    def __init__(
        self, dim: int, heads: int, dropout: float = 0.0, context_dim: int | None = None, causal: bool = False
    ):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout, causal=causal)
        if context_dim is not None:
            self.context_norm = nn.LayerNorm(dim)
            self.context_attention = Attention(dim, heads, dropout, context_dim)
        self.mlp_norm = nn.LayerNorm(dim)
        rise, fall = nn.Linear(dim, RATIO * dim), nn.Linear(RATIO * dim, dim)
        self.mlp = nn.Sequential(rise, nn.GELU(), nn.Dropout(dropout), fall)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor, context: Tensor | None = None, context_mask: Tensor | None = None
    ) -> Tensor:
        """float32 [B, T, D] -> the same; `mask` bool [B, T], `context` float [B, S, E], `context_mask` bool [B, S]."""
        x = x + self.dropout(self.attention(self.norm(x), mask))
        if context is not None:
            x = x + self.dropout(self.context_attention(self.context_norm(x), context_mask, context))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class Transformer(nn.Module):
    """`depth` pre-norm blocks and a last LayerNorm (Xiong et al. 2020, arXiv:2002.04745). The residual stream is
    float32 whatever the precision of the layers. No positions are added: the tokens already have them. With `causal` no
    token sees a later one."""

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        context_dim: int | None = None,
        causal: bool = False,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads, dropout, context_dim, causal) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, mask: Tensor, context: Tensor | None = None, context_mask: Tensor | None = None
    ) -> Tensor:
        """Tokens, float32 [B, T, D], finite but without meaning where `mask` is False. x: float [B, T, D]. mask: bool
        [B, T], True where a token is real. context: float [B, S, E], and context_mask, bool [B, S], True where it is
        real; both are given exactly when the blocks have a `context_dim`. A row without context attends to none."""
        x = wide(x)
        for block in self.blocks:
            x = block(x, mask, context, context_mask)
        return self.norm(x)


class TokenTransformer(nn.Module):
    """Embeddings of the tokens of a `vocabulary` and of at most `length` positions, then a transformer."""

    def __init__(
        self, vocabulary: int, length: int, dim: int, depth: int, heads: int, dropout: float = 0.0, causal: bool = False
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(torch.empty(length, dim))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(dim, depth, heads, dropout, causal=causal)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens int64 [B, T], mask bool [B, T] -> float32 [B, T, D], without meaning where `mask` is False."""
        return self.transformer(self.dropout(self.embedding(tokens) + self.position[: tokens.shape[1]]), mask)
