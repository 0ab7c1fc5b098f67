"""Weights with several names, in one module or lent by another, are saved once."""

from typing import Any

from torch import Tensor, nn


def save_once(module: nn.Module) -> None:
    """From now on the state dict of `module` has a weight under the first of its names alone, and those of its list
    `lent` under none; loading one fills in the others.
    """
    module.register_state_dict_post_hook(_drop)
    module.register_load_state_dict_pre_hook(_fill)


def _drop(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in _repeated(module):
        state.pop(prefix + name, None)


def _fill(module: nn.Module, state: dict[str, Any], prefix: str, *arguments: Any) -> None:
    # A weight that is copied to itself stays as it is.
    repeated = _repeated(module)
    state |= {prefix + name: weight.detach() for name, weight in repeated.items() if prefix + name not in state}


def _repeated(module: nn.Module) -> dict[str, Tensor]:
    """The names of weights that have another name before, or are lent."""
    seen, repeated = {id(weight) for weight in module.lent}, {}
    for name, weight in module.named_parameters(remove_duplicate=False):
        if id(weight) in seen:
            repeated[name] = weight
        seen.add(id(weight))
    return repeated
