"""What happens inside one step of cross-attention, read from outside while it runs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sensorium.nn.residual import into_heads


class Watching:
    """Watches a `Crossing` (of `post_norm` or of `residual`) while the block runs; then `heat` tells what it did.

    The step itself computes no map and keeps none. What it computed with is enough to make the map again, and the
    gradient of the map is that of what was attended to, times the values. The graph of gradients begins at the step.
    """

    def __init__(self, crossing: nn.Module):
        self.crossing = crossing
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Watching":
        self._handles = [
            self.crossing.register_forward_pre_hook(self._see_keys),
            self.crossing.query.register_forward_hook(self._see_query),
            self.crossing.out.register_forward_pre_hook(self._see_attended),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def heat(self, score: Tensor) -> Tensor:
        """float [B, heads, T, S]: the attention of T tokens to S of the context, times the positive part of the
        gradient that `score`, a scalar, has there; zero where there is nothing to attend to.
        """
        (gradient,) = torch.autograd.grad(score, self._attended)  # [N, D]
        heads, (key, value, allowed) = self.crossing.heads, self._keys
        (query,) = into_heads(self._packing.pad(self._query), 1, heads)  # [B, heads, T, d]
        (gradient,) = into_heads(self._packing.pad(gradient), 1, heads)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)  # [B, heads, T, S]
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        return scores.softmax(dim=3) * (gradient @ value.transpose(2, 3)).clamp(min=0)

    def _see_keys(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        _, self._packing, self._keys, *_rest = given

    def _see_query(self, _: nn.Module, __: Any, query: Tensor) -> None:
        self._query = query.detach()

    def _see_attended(self, _: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        self._attended = given[0].detach().requires_grad_()
        return (self._attended,)
