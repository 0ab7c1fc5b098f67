"""Residual convolutions for pictures and for spectrograms; padding does not reach the real lines."""

import math
from collections.abc import Callable

from torch import Tensor, nn

NormFactory = Callable[[int], nn.Module]  # channels -> a module [B, C, H, W] -> [B, C, H, W]


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """x float [B, C, H, W], finite, with zeros, as outside the edge, in lines H where mask, bool [B, H], is False."""
    return x if mask is None else x * mask[:, None, :, None]


def halved(mask: Tensor) -> Tensor:
    """mask bool [B, H] → that of the output of a centred convolution with stride 2 and odd kernel, [B, ceil(H / 2)]."""
    return mask[:, ::2]


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm (Wu and He 2018, arXiv:1803.08494) in 8 groups, or in as many as divide both 8 and the channels."""
    return nn.GroupNorm(math.gcd(channels, 8), channels)


class LineNorm(nn.Module):
    """LayerNorm over channels and width of each line H by itself, so that no line depends on how many there are. Its
    scale and shift differ by channel and by position in the line."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.norm = nn.LayerNorm((width, channels))

    def forward(self, x: Tensor) -> Tensor:
        """float [B, C, H, W] -> the same shape."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # [B, H, W, C] and back to [B, C, H, W]


class Residual(nn.Module):
    """Pre-activation residual block (He et al. 2016, arXiv:1603.05027): twice norm, SiLU and a 3x3 convolution, added
    to the input. `norms` makes the two norms: the first of `inputs` channels before the stride, the second of `outputs`
    after it. The stride, 1 or 2, is the first convolution's. The sum stays float32 under autocast."""

    def __init__(
        self, inputs: int, outputs: int, norms: tuple[NormFactory, NormFactory], stride: int = 1, dropout: float = 0.0
    ):
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = norms[0](inputs), norms[1](outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if (inputs, stride) != (outputs, 1) else None
        self.activation = nn.SiLU()
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x float [B, C, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]. mask: bool [B, H], which lines are
        real; finite values in the other lines do not reach the real ones."""
        after = halved(mask) if mask is not None and self.stride == 2 else mask
        y = self.conv1(masked(self.activation(self.norm1(x)), mask))
        y = self.conv2(masked(self.dropout(self.activation(self.norm2(y))), after))
        return (x if self.skip is None else self.skip(x)).float() + y
