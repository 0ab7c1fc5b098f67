"""Middle fusion with a leading input, which attends to the others."""

from typing import Protocol

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.errors import UserError, check_known
from sensorium.features import Features
from sensorium.fusion.separate import mean_of_real
from sensorium.nn.inputs import Inputs
from sensorium.nn.transformer import Transformer


class CrossAttentionConfig(BaseModel, frozen=True, extra="forbid"):
    """`query`: the leading input (None: the first); `context`: the inputs it attends to (None: all the others).

    `dim`: width of a token, a multiple of `heads`; `layers`: how many blocks; `dropout` inside them."""

    query: str | None = None
    context: list[str] | None = None
    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class CrossAttention(nn.Module):
    """A transformer over the leading input's tokens whose blocks also attend to the tokens of the context.

    The fusion of ALBEF (Li et al. 2021, arXiv:2107.07651). Where the leading input is absent, one learned token
    stands in for it. An input that is neither `query` nor in `context` is not read. Raises UserError for a name that is
    no input, or a leading input that is its own context."""

    Config = CrossAttentionConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: CrossAttentionConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.query, self.context = roles(config, list(dims))
        self.inputs = Inputs({name: dims[name] for name in [self.query, *self.context]}, config.dim)
        if self.context:
            self.absent = nn.Parameter(torch.randn(config.dim) * 0.2)
            self.modality = nn.Parameter(torch.randn(len(self.context), config.dim) * 0.2)
        context_dim = config.dim if self.context else None
        self.stream = Transformer(config.dim, config.layers, config.heads, config.dropout, context_dim)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input -> the leading input's tokens, float32 [B, T, D], mask [B, T], and their mean [B, D].
        In a row that lacks the leading input but has context, the first token is the output at the learned token."""
        mapped = self.inputs(features)
        tokens, mask, _ = mapped[self.query]
        context, context_mask = None, None
        # The contexts' tokens end to end, each with its input's embedding.
        if self.context:
            context = torch.cat([mapped[name].tokens + self.modality[i] for i, name in enumerate(self.context)], dim=1)
            context_mask = torch.cat([mapped[name].mask for name in self.context], dim=1)
            tokens, mask = stand_in(self.absent, tokens, mask, context_mask.any(dim=1))
        out = self.stream(tokens, mask, context, context_mask)
        return Features(torch.where(mask[..., None], out, 0.0), mask, mean_of_real(out, mask))


def stand_in(token: Tensor, tokens: Tensor, mask: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """`tokens` [B, T, D] and `mask` [B, T] with `token` [D] first in the rows that lack the leading input and have a
    context, `asked` bool [B]."""
    first = torch.zeros_like(mask)
    first[:, 0] = asked & ~mask.any(dim=1)
    return torch.where(first[..., None], token, tokens), mask | first


class Roles(Protocol):
    """Settings that name the leading input and its context."""

    query: str | None
    context: list[str] | None


def roles(config: Roles, names: list[str]) -> tuple[str, list[str]]:
    """The leading input and the context, checked against the inputs there are."""
    query = names[0] if config.query is None else config.query
    context = [name for name in names if name != query] if config.context is None else config.context
    for name in [query, *context]:
        check_known(names, "input", name)
    if query in context:
        raise UserError(f"The leading input '{query}' is also in its own context; take it out of one.")
    return query, context
