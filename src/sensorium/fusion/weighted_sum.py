"""Early fusion by a weighted sum: each input has one weight."""

import torch
from pydantic import BaseModel, Field
from torch import nn

from sensorium.features import Features
from sensorium.nn.inputs import Inputs


class WeightedSumConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of the fused token; `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class WeightedSum(nn.Module):
    """y = Σᵢ wᵢ xᵢ + b over the inputs that are present, with one learned weight for each input.

    The linear fusion of the surveys (Baltrušaitis et al. 2019, arXiv:1705.09406, section 6). An absent input adds
    nothing, and the others' weights stay as they are: each input adds the same whichever others are present. What only
    two inputs together show cannot be learned (the exclusive-or of two stays at chance)."""

    Config = WeightedSumConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: WeightedSumConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim, config.dropout)
        self.weight = nn.Parameter(torch.full((len(dims),), len(dims) ** -0.5))
        self.bias = nn.Parameter(torch.zeros(config.dim))

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.each(features)  # [B, D] of each input, zero where absent
        total = self.bias
        for weight, x in zip(self.weight, summaries, strict=True):
            total = total + weight * x
        return Features.one(total, present.any(dim=1))
