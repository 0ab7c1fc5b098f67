"""Interactive fusion with a fixed number of tokens: learned queries attend to all inputs."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.packing import Packing
from sensorium.nn.residual import Crossing, FeedForward, Keys, KeysOf, SelfAttention


class ResamplerConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of a token, a multiple of `heads`; `queries`: how many tokens come out; `layers`: how often they
    attend; the MLPs are `ratio` times as wide inside, with `dropout`."""

    dim: int = Field(128, gt=0)
    queries: int = Field(16, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    ratio: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class Resampler(nn.Module):
    """Learned queries that attend to the tokens of all inputs, then to each other, then go through an MLP.

    As in the Perceiver (Jaegle et al. 2021, arXiv:2103.03206), Flamingo's resampler (Alayrac et al. 2022,
    arXiv:2204.14198) and the Q-Former (Li et al. 2023, arXiv:2301.12597). Every layer attends to the inputs'
    own tokens, each with its input's embedding. The cost of the following layers does not depend on their number."""

    Config = ResamplerConfig
    reads = "tokens"
    gives_experts = False

    def __init__(self, config: ResamplerConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim, self.experts = config, config.dim, config.queries
        self.inputs = Inputs(dims, config.dim)
        self.modality = nn.Parameter(torch.randn(len(dims), config.dim) * 0.2)
        self.queries = nn.Parameter(torch.randn(config.queries, config.dim) * 0.2)
        self.asked = KeysOf(config.dim, config.heads, config.layers)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input -> tokens float32 [B, M, D] for M queries, mask [B, M], pooled [B, D], their mean. All
        M tokens are real in a row with any input."""
        # The context: the tokens of all inputs, with the input's embedding.
        packed = self.inputs.packed(features)
        context = torch.cat([p.pad(x + self.modality[i]) for i, (x, p) in enumerate(packed.values())], dim=1)
        mask = torch.cat([features[name].mask for name in packed], dim=1)
        packing = Packing.of(mask)
        asked = self.asked(packing.pack(context), packing)
        # The queries of every row, whatever it lacks.
        all_queries = Packing(len(mask), self.config.queries)
        x = self.queries.repeat(len(mask), 1)  # [B * M, D]
        for layer, keys in zip(self.layers, asked, strict=True):
            x = layer(x, all_queries, keys)
        present = mask.any(dim=1)
        tokens = torch.where(present[:, None, None], all_queries.pad(self.norm(x)), 0.0)
        return Features(tokens, present[:, None].repeat(1, self.config.queries), tokens.mean(dim=1))


class _Layer(nn.Module):
    """Queries attend to the context, then to each other, then an MLP."""

    def __init__(self, config: ResamplerConfig):
        super().__init__()
        self.crossing = Crossing(config.dim, config.heads, config.dropout)
        self.attention = SelfAttention(config.dim, config.heads, config.dropout)
        self.feed = FeedForward(config.dim, config.ratio, config.dropout)

    def forward(self, x: Tensor, packing: Packing, keys: Keys) -> Tensor:
        """float32 [B * M, D] -> the same shape."""
        return self.feed(self.attention(self.crossing(x, packing, keys), packing))
