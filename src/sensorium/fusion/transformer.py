"""Middle fusion: one transformer over the tokens of all inputs."""

import torch
from pydantic import BaseModel, Field
from torch import nn

from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.transformer import Transformer


class TransformerFusionConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of a token, a multiple of `heads`; `layers`: how many blocks; `dropout` inside them."""

    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class TransformerFusion(nn.Module):
    """All tokens in one stream, each with its input's embedding, after a learned token that becomes the summary.

    The single stream of VisualBERT (Li et al. 2019, arXiv:1908.03557). Positions come with the encoders' tokens."""

    Config = TransformerFusionConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: TransformerFusionConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim)
        self.modality = nn.Parameter(torch.randn(len(dims), config.dim) * 0.2)
        self.summary = nn.Parameter(torch.randn(config.dim) * 0.2)
        self.stream = Transformer(config.dim, config.layers, config.heads, config.dropout)

    @property
    def token_order(self) -> list[str]:
        """The inputs, whose tokens stand among the fused ones one after another."""
        return self.inputs.names

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input, T1, T2, ... tokens -> tokens float32 [B, T1 + T2 + ..., D], mask, pooled [B, D]. The
        tokens are in the order of `dims`; the summary token is `pooled` and not among them."""
        # One stream: the tokens of all inputs, each with its input's embedding.
        mapped = self.inputs(features)
        tokens = torch.cat([mapped[name].tokens + self.modality[i] for i, name in enumerate(self.inputs.names)], dim=1)
        mask = torch.cat([mapped[name].mask for name in self.inputs.names], dim=1)
        # The summary token goes first, and is real in rows with any input.
        present = mask.any(dim=1)
        summary = self.summary.expand(len(tokens), 1, -1)  # [B, 1, D]
        out = self.stream(torch.cat([summary, tokens], dim=1), torch.cat([present[:, None], mask], dim=1))
        pooled = torch.where(present[:, None], out[:, 0], 0.0)
        return Features(torch.where(mask[..., None], out[:, 1:], 0.0), mask, pooled)
