"""Weights with several names, in one module or lent by another, are saved once."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def save_once(module: nn.Module, lent: Callable[[], list[Tensor]] = list) -> None:
    """From now on the state dict of `module` has a weight under the first of its names alone, and what `lent` gives
    under none; loading one fills in the others.
    """

    def drop(inner: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for name in _repeated(inner, lent()):
            state.pop(prefix + name, None)

    def fill(inner: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        # A weight that is copied to itself stays as it is.
        weights = _repeated(inner, lent())
        state |= {prefix + name: weight.detach() for name, weight in weights.items() if prefix + name not in state}

    module.register_state_dict_post_hook(drop)
    module.register_load_state_dict_pre_hook(fill)


def _repeated(module: nn.Module, lent: list[Tensor]) -> dict[str, Tensor]:
    """The names of weights that have another name before, or are lent."""
    seen, repeated = {id(weight) for weight in lent}, {}
    for name, weight in module.named_parameters(remove_duplicate=False):
        if id(weight) in seen:
            repeated[name] = weight
        seen.add(id(weight))
    return repeated
