"""The activations of published transformers. Each keeps only its input for the backward pass."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
STEEPNESS = 1.702


class _QuickGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.silu(x * STEEPNESS, inplace=True).div_(STEEPNESS)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.silu_backward(gradient, x * STEEPNESS)  # the factors 1.702 and 1 / 1.702 cancel


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), any shape (Hendrycks and Gimpel 2016, arXiv:1606.08415), as OpenAI's CLIP was trained."""
    return _QuickGelu.apply(x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
}
