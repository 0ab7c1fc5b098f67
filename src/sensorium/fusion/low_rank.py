"""Tensor fusion without the tensor: its map is a sum of a few products of small maps."""

import torch
from pydantic import BaseModel, Field
from torch import nn

from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide


class LowRankConfig(BaseModel, frozen=True, extra="forbid"):
    """`rank`: how many products are summed; `width`: of each input before them; `dim`: width of the fused token;
    `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    width: int = Field(32, gt=0)
    rank: int = Field(8, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class LowRank(nn.Module):
    """y = Σᵣ ωᵣ (W₁⁽ʳ⁾ [x₁; 1]) ⊙ … ⊙ (W_N⁽ʳ⁾ [x_N; 1]) + b: interactions of every order, in time linear in the inputs.

    Low-rank multimodal fusion (Liu et al. 2018, arXiv:1806.00064), with the weights ωᵣ of its published code. At rank
    (width + 1) ** (inputs - 1) it can be any `tensor` fusion. Of an absent input the constant part remains, [0; 1]. It
    starts as 1, so that at first an input adds to the product or leaves it as it is, and a product of many neither
    vanishes nor explodes."""

    Config = LowRankConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: LowRankConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.width, config.dropout)
        shape = (len(dims), config.width, config.rank * config.dim)
        self.factors = nn.Parameter(torch.randn(shape) * config.width**-0.5)
        self.constants = nn.Parameter(torch.ones(len(dims), 1, config.rank * config.dim))
        self.weight = nn.Parameter(torch.randn(config.rank) * config.rank**-0.5)
        self.bias = nn.Parameter(torch.zeros(config.dim))

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.summaries(features)  # [B, N, width], zero where absent
        product, *factors = wide(torch.baddbmm(self.constants, summaries.transpose(0, 1), self.factors))
        for factor in factors:
            product = product * factor  # [B, rank * D]
        product = product.unflatten(1, (self.config.rank, -1))  # [B, rank, D]
        return Features.one((self.weight[:, None] * product).sum(dim=1) + self.bias, present.any(dim=1))
