"""Middle fusion by BERT's upper layers, in which a leading input also attends to the others, as in ALBEF."""

import torch
from pydantic import BaseModel, Field
from torch import nn

from sensorium.features import Features
from sensorium.fusion.cross_attention import roles, stand_in
from sensorium.nn.packing import Packing
from sensorium.nn.post_norm import START, Asked, Asking, Block, Shape, run, started
from sensorium.nn.precision import wide


class BertFusionConfig(BaseModel, frozen=True, extra="forbid"):
    """`query`: the leading input (None: the first); `context`: the inputs it attends to, in this order (None:
    all the others).

    `dim`: width of a token, a multiple of `heads`; `layers`: how many blocks; the MLPs are `ratio` times as wide
    inside; `dropout` of what each step adds; `eps` of every LayerNorm."""

    query: str | None = None
    context: list[str] | None = None
    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    ratio: float = Field(4.0, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    eps: float = Field(1e-12, gt=0)


class BertFusion(nn.Module):
    """Blocks of self-attention, attention to each context in turn, and an MLP, normalised after each step, over the
    leading input's tokens.

    The fusion of ALBEF as it was published (Li et al. 2021, arXiv:2107.07651), whose leading input is the text. The
    keys and values of the contexts are computed once, by `asked`, for any number of passes. A leading input of the
    width `dim` is used as it is, and a context has no map but the one to keys and values. Where the leading input is
    absent, one learned token stands in for it; an absent context adds nothing; an input that is neither is not read.
    Raises UserError for a name that is no input, or a leading input that is its own context."""

    Config = BertFusionConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: BertFusionConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.query, self.context = roles(config, list(dims))
        width = dims[self.query]
        self.bring = nn.Identity() if width == config.dim else started(nn.Linear(width, config.dim))
        shape = Shape(config.dim, config.heads, round(config.dim * config.ratio), config.dropout, config.eps)
        if self.context:
            self.absent = nn.Parameter(torch.randn(config.dim) * START * config.dim**-0.5)
        self.asking = nn.ModuleList(Asking(dims[name], shape, config.layers) for name in self.context)
        self.blocks = nn.ModuleList(Block(shape, len(self.context)) for _ in range(config.layers))

    def asked(self, features: dict[str, Features]) -> list[Asked]:
        """Each context's keys and values for every block; `forward` takes them, or rows of them."""
        contexts = zip(self.context, self.asking, strict=True)
        return [asking(features[name].tokens, features[name].mask) for name, asking in contexts]

    def forward(
        self, features: dict[str, Features], asked: list[Asked] | None = None, summary_only: bool = False
    ) -> Features:
        """Features of each input -> the leading input's tokens, float32 [B, T, D], mask [B, T], and the first of them,
        [B, D].

        With `asked`, the result of the method `asked`, only the leading input is read. In a row that lacks the leading
        input but has a context, the first token is the output at the learned token. `summary_only`: that first token
        alone, T = 1, which is less work."""
        asked = self.asked(features) if asked is None else asked
        tokens, mask, _ = features[self.query]
        packing = Packing.of(mask)
        x = wide(self.bring(packing.pack(tokens)))  # [N, D]
        if self.context:
            has_context = torch.stack([context.present for context in asked]).any(dim=0)  # [B]
            tokens, mask = stand_in(self.absent, packing.pad(x), mask, has_context)
            packing = Packing.of(mask)
            x = packing.pack(tokens)
        x = run(self.blocks, x, packing, asked, summary_only)
        if summary_only:
            return Features.one(packing.first(x.device)[0].pad(x)[:, 0], mask.any(dim=1))
        tokens, first = packing.pad(x), mask.int().argmax(dim=1)  # [B, T, D], [B]
        return Features(tokens, mask, tokens[torch.arange(len(tokens), device=tokens.device), first])
