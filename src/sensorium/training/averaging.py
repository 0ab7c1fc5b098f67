"""A running average of the weights, which is validated and saved in the model."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of a module's trained weights (Polyak & Juditsky 1992; as in Szegedy et al. 2015,
    arXiv:1512.00567).

    At step t it keeps min(`decay`, (1 + t) / (10 + t)) of itself, so that the untrained weights soon count for little
    and a run of a few hundred steps has a useful average too. Only what the optimiser moves is averaged: frozen weights
    and buffers have one value, the module's own. `weights`: by name, float32, of the parameter's shape."""

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self._trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        self.weights = {name: parameter.detach().clone().float() for name, parameter in self._trained.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Adds the weights after optimiser step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.weights.values()), [parameter.float() for parameter in self._trained.values()], 1 - decay
        )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While entered, the module has the averaged weights."""
        current = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
        _copy_into(self._trained, self.weights)
        try:
            yield
        finally:
            _copy_into(self._trained, current)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Loads saved `weights`. Raises KeyError when they are of another module."""
        _copy_into(self.weights, weights)


@torch.no_grad()
def _copy_into(parameters: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
