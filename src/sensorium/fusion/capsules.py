"""Fusion by agreement: each input is a capsule that is distributed over the wholes it agrees with."""

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.nn.capsules import Capsules, squash
from sensorium.nn.inputs import Inputs


class CapsulesConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of the fused token, a multiple of `capsules`, which is how many wholes it holds side by side;
    `iterations` of routing; `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    capsules: int = Field(8, gt=0)
    iterations: int = Field(3, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> "CapsulesConfig":
        if self.dim % self.capsules:
            raise ValueError(f"a width of {self.dim} cannot be cut into {self.capsules} capsules; choose a multiple")
        return self


class CapsuleFusion(nn.Module):
    """y = [v₁ ⊕ … ⊕ v_M], wholes to which the inputs are routed (dynamic routing, Sabour et al. 2017,
    arXiv:1710.09829).

    uᵢ = squash(xᵢ), and its votes are ûⱼᵢ = Wᵢⱼ uᵢ. Each iteration takes c = softmax of b over the wholes (b is 0 at
    first) and vⱼ = squash(Σᵢ cᵢⱼ ûⱼᵢ), and bᵢⱼ grows by ûⱼᵢ · vⱼ: an input gives more to a whole on which other
    inputs agree with it. An absent input votes for nothing."""

    Config = CapsulesConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: CapsulesConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim, config.dropout)
        whole_dim = config.dim // config.capsules
        self.capsules = Capsules(len(dims), config.dim, config.capsules, whole_dim, config.iterations)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.summaries(features)  # [B, N, D], zero where absent
        return Features.one(self.capsules(squash(summaries)).flatten(1), present.any(dim=1))

    def routing(self, features: dict[str, Features]) -> Tensor:
        """How each input of each record is distributed over the M wholes: float32 [B, N, M], inputs as in `dims`. The
        shares of an input sum to 1; those of an absent one are 0."""
        summaries, present = self.inputs.summaries(features)
        return torch.where(present[..., None], self.capsules.routed(squash(summaries)).shares, 0.0)
