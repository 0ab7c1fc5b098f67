"""What stays in full precision."""

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """float of any shape → the same in float32, where sums and norms are taken; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
