"""Linear layers for writing on a CPU, in float32: a few rows at a time, whose weights are laid out once."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS = 16  # the kernel's layout is chosen for so many rows; it works for any number


class PackedLinear:
    """The products of `layers`, side by side, for inference. For one row a plain product is fastest, with the weights
    transposed where there are more outputs than inputs; for several oneDNN's, which otherwise copies the weights into
    its own layout at every call. Each layout is made when it is first needed."""

    def __init__(self, *layers: nn.Linear):
        weights = [layer.weight.detach() for layer in layers]
        self.weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        biases = [layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers]
        self.bias = torch.cat(biases).detach() if any(layer.bias is not None for layer in layers) else None
        self._transposed: Tensor | None = None
        self._packed: Tensor | None = None

    def __getstate__(self) -> dict:
        """Without the layouts, which cannot be copied."""
        return vars(self) | {"_transposed": None, "_packed": None}

    def __deepcopy__(self, memo: dict) -> "PackedLinear":
        """The same weights, which are not written to."""
        return copy.copy(self)

    def __call__(self, x: Tensor) -> Tensor:
        """float32 [N, in] -> float32 [N, out]."""
        if len(x) > 1:
            if self._packed is None:
                self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, ROWS)
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        outputs, inputs = self.weight.shape
        if outputs <= inputs:
            return F.linear(x, self.weight, self.bias)
        if self._transposed is None:
            self._transposed = self.weight.t().contiguous()
        return x @ self._transposed if self.bias is None else torch.addmm(self.bias, x, self._transposed)


def can_pack(module: nn.Module) -> bool:
    """Whether all linear layers of `module` are plain ones in float32 on a CPU that has the kernels."""
    if not torch.backends.mkldnn.is_available() or torch.is_autocast_enabled("cpu"):
        return False
    weights = all(weight.device.type == "cpu" and weight.dtype == torch.float32 for weight in module.parameters())
    return weights and not any(hasattr(child, "base_layer") for child in module.modules())
