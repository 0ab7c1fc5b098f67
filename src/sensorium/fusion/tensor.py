"""Tensor fusion: every product of coordinates of every set of inputs."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide

MOST_INPUTS = 3


class TensorConfig(BaseModel, frozen=True, extra="forbid"):
    """`width`: of each input in the product, which has (width + 1) ** inputs numbers; `dim`: width of the fused token;
    `dropout` acts before the input maps."""

    dim: int = Field(128, gt=0)
    width: int = Field(16, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class TensorFusion(nn.Module):
    """y = W z + b, where z = [x₁; 1] ⊗ … ⊗ [x_N; 1] holds every interaction: of one input, of two, of all.

    The tensor fusion network (Zadeh et al. 2017, arXiv:1707.07250). Of an absent input the constant part remains,
    [0; 1]: z then holds the interactions of the others. The product grows by a factor of width + 1 with each input, so
    for more than three inputs it raises a UserError that names `low_rank`, which is the same without the product. z is
    not formed where multiplying W by all inputs but the last takes less memory, so nothing larger than z is stored."""

    Config = TensorConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: TensorConfig, dims: dict[str, int]):
        super().__init__()
        if len(dims) > MOST_INPUTS:
            size = (config.width + 1) ** len(dims)
            raise UserError(
                f"The fusion 'tensor' multiplies every coordinate of each input with every one of the others: of"
                f" {len(dims)} inputs {size:,} products a record, more than any table can teach; take 'low_rank', which"
                f" has the same interactions for any number of inputs, or at most {MOST_INPUTS} inputs."
            )
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.width, config.dropout)
        self.side = config.width + 1
        products = self.side ** (len(dims) - 1)  # of all inputs but the last
        self.weight = nn.Parameter(torch.empty(products, self.side * config.dim))  # W [D, (width + 1) ** N], transposed
        self.bias = nn.Parameter(torch.zeros(config.dim))
        bound = (products * self.side) ** -0.5  # as in a linear layer
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.summaries(features)  # [B, N, width], zero where absent
        # The product of all inputs but the last, each with a 1 appended.
        *factors, last = F.pad(summaries, (0, 1), value=1.0).unbind(dim=1)  # [B, width + 1] each
        product = last.new_ones(len(last), 1)
        for factor in factors:
            product = _outer(product, factor)  # [B, (width + 1) ** factors so far]
        # The last input before or after W, whichever takes less memory.
        if product.shape[1] > self.dim:
            mapped = (product @ self.weight).unflatten(1, (self.side, self.dim))  # [B, width + 1, D]
            fused = torch.bmm(last[:, None].to(mapped.dtype), mapped)[:, 0]
        else:
            fused = _outer(product, last) @ self.weight.view(-1, self.dim)
        return Features.one(wide(fused) + self.bias, present.any(dim=1))


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """[B, P], [B, Q] -> [B, P * Q], every product."""
    return torch.bmm(a[:, :, None], b[:, None]).flatten(1)
