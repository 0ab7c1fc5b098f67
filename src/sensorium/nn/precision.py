"""Full precision for what needs it."""

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """float of any shape → the same in float32, for sums and norms; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
