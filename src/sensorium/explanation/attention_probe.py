"""What one step of cross-attention computes, read from outside while it runs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sensorium.nn.residual import into_heads


class AttentionProbe:
    """Records what a `Crossing` (of `post_norm` or of `residual`) computes while the block runs, for `heat` to use.

    The step itself computes no map and keeps none. Its inputs are enough to compute the map again, and the gradient of
    the map is that of the attended values, times the values. The graph of gradients begins at the step.
    """

    def __init__(self, crossing: nn.Module):
        self.crossing = crossing
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "AttentionProbe":
        self._handles = [
            self.crossing.register_forward_pre_hook(self._record_keys),
            self.crossing.query.register_forward_hook(self._record_query),
            self.crossing.out.register_forward_pre_hook(self._record_attended),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def heat(self, score: Tensor) -> Tensor:
        """float [B, heads, T, S]: the attention of T tokens to S of the context, times the positive part of the
        gradient of `score`, a scalar, by the attention; zero where there is nothing to attend to.
        """
        (gradient,) = torch.autograd.grad(score, self._attended)  # [N, D]
        heads, (key, value, allowed) = self.crossing.heads, self._keys
        (query,) = into_heads(self._packing.pad(self._query), 1, heads)  # [B, heads, T, d]
        (gradient,) = into_heads(self._packing.pad(gradient), 1, heads)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)  # [B, heads, T, S]
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        return scores.softmax(dim=3) * (gradient @ value.transpose(2, 3)).clamp(min=0)

    def _record_keys(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        _, self._packing, self._keys, *_rest = arguments

    def _record_query(self, _: nn.Module, __: Any, query: Tensor) -> None:
        self._query = query.detach()

    def _record_attended(self, _: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        self._attended = arguments[0].detach().requires_grad_()
        return (self._attended,)
