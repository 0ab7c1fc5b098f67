"""The layers between a fused vector and a decision's scores."""

import torch
from torch import Tensor, nn

from sensorium.nn.precision import wide


class Network(nn.Module):
    """Dropout and a linear map, or an MLP with one hidden layer of `hidden` units when that is not 0.

    bias: float [outputs], what the last bias starts from: the prior's scores, so that training starts there.
    """

    def __init__(self, dim: int, hidden: int, dropout: float, bias: Tensor):
        super().__init__()
        last = nn.Linear(hidden or dim, len(bias))
        inner = [nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout)] if hidden else []
        self.layers = nn.Sequential(nn.Dropout(dropout), *inner, last)
        with torch.no_grad():
            last.bias.copy_(bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """float [B, D] -> float32 [B, outputs]; of a float64 model, float64."""
        return wide(self.layers(pooled))
