"""Early fusion by attention: a mean in which each record says how much each input counts."""

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide


class AttentionConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of the fused token, and of the layer that scores; `heads` share it, each with weights of its own;
    `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    heads: int = Field(4, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> "AttentionConfig":
        if self.dim % self.heads:
            raise ValueError(f"a width of {self.dim} cannot be cut into {self.heads} heads; choose a multiple")
        return self


class Attention(nn.Module):
    """y = Σᵢ aᵢ xᵢ, a = softmax(e) over the inputs that are present, eᵢ = vᵀ tanh(W [h ⊕ xᵢ] + c).

    Additive attention (Bahdanau et al. 2015, arXiv:1409.0473) over inputs: h, the query, is the mean of the xᵢ
    that are present. Each head has its own v and weighs its own slice of the coordinates; a single head cannot learn
    the exclusive-or of two inputs. An absent input is left out of h and of the softmax, so the weights of the others
    still sum to 1."""

    Config = AttentionConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: AttentionConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim, config.dropout)
        # The weight of a single input is 1 whatever its score, so no score would ever be trained.
        self.score = None
        if len(dims) > 1:
            dim, heads = config.dim, config.heads
            self.score = nn.Sequential(nn.Linear(2 * dim, dim), nn.Tanh(), nn.Linear(dim, heads, bias=False))

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.summaries(features)  # [B, N, D], [B, N]
        slices = summaries.unflatten(2, (self.config.heads, -1))  # [B, N, heads, D / heads]
        pooled = (self._weights(summaries, present)[..., None] * slices).sum(dim=1).flatten(1)  # [B, D]
        return Features.one(pooled, present.any(dim=1))

    def weights(self, features: dict[str, Features]) -> Tensor:
        """How much each input counts in each record: float32 [B, N], in the order of `dims`, the mean of the heads.
        They sum to 1, that of an absent input is 0; for a record without any input all are 0."""
        return self._weights(*self.inputs.summaries(features)).mean(dim=2)

    def _weights(self, summaries: Tensor, present: Tensor) -> Tensor:
        """summaries float32 [B, N, D], zero where absent, present bool [B, N] -> [B, N, heads]."""
        real = present[..., None]  # [B, N, 1]
        if self.score is None:
            return real.to(summaries.dtype).expand(-1, -1, self.config.heads)
        mean = summaries.sum(dim=1, keepdim=True) / present.sum(dim=1).clamp(min=1)[:, None, None]  # h, [B, 1, D]
        # The half of W that reads h is multiplied once a record, not once an input.
        hidden, tanh, output = self.score
        mean_weight, input_weight = hidden.weight.chunk(2, dim=1)
        mixed = F.linear(summaries, input_weight, hidden.bias) + F.linear(mean, mean_weight)  # [B, N, D]
        scores = wide(output(tanh(mixed)))  # [B, N, heads]
        lowest = torch.finfo(scores.dtype).min  # not -inf, which makes NaN of a record without any input
        return torch.where(real, scores.masked_fill(~real, lowest).softmax(dim=1), 0.0)
