"""Middle fusion in a stated order: the leading input attends to one context after another, in every layer."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.fusion.cross_attention import roles, stand_in
from sensorium.fusion.separate import mean_of_real
from sensorium.nn.inputs import Inputs
from sensorium.nn.packing import Packing
from sensorium.nn.residual import Crossing, FeedForward, Keys, KeysOf, SelfAttention


class SerialConfig(BaseModel, frozen=True, extra="forbid"):
    """`query`: the leading input (None: the first); `context`: the inputs it attends to, in this order (None: all the
    others, in the table's order).

    `dim`: width of a token, a multiple of `heads`; `layers`: how many blocks; the MLPs are `ratio` times as wide
    inside, with `dropout`."""

    query: str | None = None
    context: list[str] | None = None
    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    ratio: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class Serial(nn.Module):
    """Blocks of self-attention, attention to the first context, to the second, and so on, and an MLP.

    So the queries to a later context contain the answers of the earlier ones; ALBEF reads two pictures so (Li et al.
    2021, arXiv:2107.07651, section 5 on NLVR2). `cross_attention` attends to all of them at once. Where the leading
    input is absent, one learned token stands in for it; an absent context adds nothing; an input that is neither is not
    read. Raises UserError for a name that is no input, or a leading input that is its own context."""

    Config = SerialConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: SerialConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.query, self.context = roles(config, list(dims))
        self.inputs = Inputs({name: dims[name] for name in [self.query, *self.context]}, config.dim)
        if self.context:
            self.absent = nn.Parameter(torch.randn(config.dim) * 0.2)
        self.asked = nn.ModuleList(KeysOf(config.dim, config.heads, config.layers) for _ in self.context)
        self.layers = nn.ModuleList(_Layer(config, len(self.context)) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input -> the leading input's tokens, float32 [B, T, D], mask [B, T], and their mean [B, D].
        In a row that lacks the leading input but has context, the first token is the output at the learned token."""
        packed = self.inputs.packed(features)
        x, packing = packed[self.query]
        mask = features[self.query].mask
        if self.context:
            has_context = torch.stack([features[name].present for name in self.context], dim=1).any(dim=1)  # [B]
            tokens, mask = stand_in(self.absent, packing.pad(x), mask, has_context)
            packing = Packing.of(mask)
            x = packing.pack(tokens)
        contexts = [keys(*packed[name]) for name, keys in zip(self.context, self.asked, strict=True)]
        for i, layer in enumerate(self.layers):
            x = layer(x, packing, [keys[i] for keys in contexts])
        tokens = packing.pad(self.norm(x))
        return Features(tokens, mask, mean_of_real(tokens, mask))


class _Layer(nn.Module):
    """Self-attention, attention to each of `contexts` contexts in turn, and an MLP."""

    def __init__(self, config: SerialConfig, contexts: int):
        super().__init__()
        self.attention = SelfAttention(config.dim, config.heads, config.dropout)
        self.crossings = nn.ModuleList(Crossing(config.dim, config.heads, config.dropout) for _ in range(contexts))
        self.feed = FeedForward(config.dim, config.ratio, config.dropout)

    def forward(self, x: Tensor, packing: Packing, contexts: list[Keys]) -> Tensor:
        """float32 [N, D], packed -> the same shape."""
        x = self.attention(x, packing)
        for crossing, keys in zip(self.crossings, contexts, strict=True):
            x = crossing(x, packing, keys)
        return self.feed(x)
