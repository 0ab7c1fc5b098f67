"""Linear layers for inference whose bfloat16 weights are laid out once, as the CPU's matrix kernel needs them."""

import torch
from torch import Tensor, nn

ROWS = 64  # the kernel's layout is chosen for so many rows; it works for any number


class PrepackedLinear(nn.Module):
    """`layer` in bfloat16 for inference on a CPU, without copying its weights into the kernel's layout at every call.
    The kernel is oneDNN's, as torch.compile freezes it. after: "none" or "swish", x * sigmoid(x), within the kernel.
    scale: multiplies weights and bias. It has no parameters, so it is neither trained nor saved."""

    def __init__(self, layer: nn.Linear, after: str = "none", scale: float = 1.0, bias_scale: float | None = None):
        super().__init__()
        bias_scale = scale if bias_scale is None else bias_scale
        self.weight = (layer.weight.detach() * scale).bfloat16()
        self.bias = None if layer.bias is None else (layer.bias.detach() * bias_scale).bfloat16()
        self.after = after
        self._packed: dict[tuple[int, int], tuple[Tensor, Tensor | None]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """float [..., in] -> bfloat16 [..., out]."""
        return self.rows(x, 0, len(self.weight))

    def rows(self, x: Tensor, first: int, last: int) -> Tensor:
        """float [..., in] -> bfloat16 [..., last - first], only these outputs."""
        if (first, last) not in self._packed:
            weight = self.weight[first:last].contiguous()
            bias = None if self.bias is None else self.bias[first:last].contiguous()
            self._packed[first, last] = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS), bias
        return torch.ops.mkldnn._linear_pointwise(x.bfloat16(), *self._packed[first, last], self.after, [], "none")


def prepack(module: nn.Module) -> None:
    """Replaces every linear layer within `module` by a PrepackedLinear; a submodule with a `prepack` does it itself.
    After that `module` is for inference on this CPU, in bfloat16; see `can_prepack`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, PrepackedLinear(child))
        elif hasattr(child, "prepack"):
            child.prepack()
        else:
            prepack(child)


def can_prepack() -> bool:
    """Whether this machine's CPU multiplies bfloat16 matrices and the kernels are there."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
