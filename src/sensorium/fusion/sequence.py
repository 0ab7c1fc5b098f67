"""No mixing: the tokens of all inputs one after another, for a decoder that reads them."""

import torch
from pydantic import BaseModel, Field
from torch import nn

from sensorium.features import Features
from sensorium.nn.named import Named
from sensorium.nn.precision import wide


class SequenceConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of a token; None takes that of the widest input. `dropout`: inside the maps of the others."""

    dim: int | None = Field(None, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class Sequence(nn.Module):
    """Tokens of width `dim` pass as they are, after all others: a decoder's own words are the last that it reads. Those
    of another width go through LayerNorm and a two-layer MLP with GELU (Liu et al. 2023, arXiv:2310.03744), plus an
    embedding of their input.
    """

    Config = SequenceConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: SequenceConfig, dims: dict[str, int]):
        super().__init__()
        self.config = config
        self.dim = dim = config.dim or max(dims.values())
        self.names = sorted(dims, key=lambda name: dims[name] == dim)  # stable: else in their own order
        self.maps = Named({
            name: nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, dim), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(dim, dim)
            )
            for name, width in dims.items() if width != dim
        })  # fmt: skip
        self.kinds = nn.Parameter(torch.zeros(len(self.maps), dim))

    @property
    def token_order(self) -> list[str]:
        """The inputs, whose tokens stand among the fused ones one after another."""
        return self.names

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input, T1, T2, ... tokens -> tokens float32 [B, T1 + T2 + ..., D], zero where masked, mask,
        and their mean as pooled [B, D].
        """
        tokens = torch.cat([self._mapped(name, features[name]) for name in self.names], dim=1)
        mask = torch.cat([features[name].mask for name in self.names], dim=1)
        pooled = tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return Features(tokens, mask, pooled)

    def _mapped(self, name: str, features: Features) -> torch.Tensor:
        real = features.mask[..., None]
        tokens = wide(torch.where(real, features.tokens, 0.0))
        if name not in self.maps:
            return tokens
        return torch.where(real, wide(self.maps[name](tokens)) + self.kinds[self.maps.names.index(name)], 0.0)
