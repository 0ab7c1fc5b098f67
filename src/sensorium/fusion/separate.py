"""No fusion before the decision: one token for each input. With the head `late` this is late fusion."""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.nn.inputs import Inputs


class SeparateConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of each token; `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class Separate(nn.Module):
    """One token for each input, in the order of `dims`; the mask is presence, `pooled` the mean of those present."""

    Config = SeparateConfig
    reads = "pooled"
    gives_experts = True

    def __init__(self, config: SeparateConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim, self.experts = config, config.dim, len(dims)
        self.inputs = Inputs(dims, config.dim, config.dropout)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each of N inputs, widths as in `dims` -> tokens float32 [B, N, D], mask [B, N], pooled [B, D]."""
        tokens, mask = self.inputs.summaries(features)
        return Features(tokens, mask, mean_of_real(tokens, mask))


def mean_of_real(tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean of the tokens, float [B, T, D], that `mask`, bool [B, T], says are real: [B, D], zero where none is."""
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(mask[..., None], tokens, 0.0).sum(dim=1) / count


def mean_of_inputs(tokens: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """The mean over the present inputs of the means of their real tokens, [B, D], zero where none is present. tokens:
    of each input, float [B, T, D]; masks: bool [B, T]."""
    means = torch.stack([mean_of_real(*pair) for pair in zip(tokens, masks, strict=True)], dim=1)  # [B, N, D]
    return mean_of_real(means, torch.stack([mask.any(dim=1) for mask in masks], dim=1))
