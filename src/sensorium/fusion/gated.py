"""Early fusion with gates: for each coordinate, how much of each input comes through."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide


class GatedConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of the fused token; `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class Gated(nn.Module):
    """y = Σᵢ zᵢ ⊙ tanh(xᵢ), zᵢ = σ(Uᵢ [x₁ ⊕ … ⊕ x_N] + cᵢ): the gated multimodal unit for any number of inputs.

    Arevalo et al. 2017, arXiv:1702.01992, figure 2a; their Wᵢ is the input map. Gates are vectors and independent of
    one another; those of two inputs need not sum to 1. The gates read zeros for an absent input, which is left out of
    the sum; that is no mean, so nothing is renormalised."""

    Config = GatedConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: GatedConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim, config.dropout)
        self.gate = nn.Linear(len(dims) * config.dim, len(dims) * config.dim)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.summaries(features)  # [B, N, D], zero where absent
        return Features.one((self._gates(summaries) * summaries.tanh()).sum(dim=1), present.any(dim=1))

    def gates(self, features: dict[str, Features]) -> Tensor:
        """How far each gate is open: float32 [B, N, D], from 0 to 1, in the order of `dims`; 0 for an absent input."""
        summaries, present = self.inputs.summaries(features)
        return torch.where(present[..., None], self._gates(summaries), 0.0)

    def _gates(self, summaries: Tensor) -> Tensor:
        gates = wide(self.gate(summaries.flatten(1))).sigmoid()  # [B, N * D]
        return gates.view_as(summaries)  # [B, N, D]
