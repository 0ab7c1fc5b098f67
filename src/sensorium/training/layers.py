"""Learning rates by layer: a pretrained encoder's lower layers are more general, and are changed less."""

import re
from collections.abc import Iterable

from timm.optim import param_groups_layer_decay
from torch import nn

from sensorium.errors import UserError

# The names that transformers give their stacks of blocks, in this library and in Transformers.
BLOCK = re.compile(r"(?:^|\.)(?:blocks?|layers?|h)\.(\d+)\.")


def layer_scales(encoder: nn.Module, decay: float, name: str) -> dict[int, float]:
    """By id of a parameter, what its learning rate is multiplied by: `decay` to the power of its layers below the top.

    The layers are timm's own groups in a timm model, elsewhere the numbered blocks of a transformer; what comes before
    the first block is one layer more, what follows the last belongs to it (Howard & Ruder 2018, arXiv:1801.06146; Clark
    et al. 2020, arXiv:2003.10555). Raises UserError when the encoder of input `name` has no such blocks."""
    inner = next((module for module in encoder.modules() if hasattr(module, "pretrained_cfg")), None)
    if inner is not None:
        groups = param_groups_layer_decay(inner, weight_decay=0.0, layer_decay=decay)
        return {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    names = [key for key, _ in encoder.named_parameters()]
    layers = dict(zip(names, _layers(names), strict=True))
    top = max(layers.values(), default=0)
    if top == 0:
        raise UserError(
            f"The encoder {type(encoder).__name__} of '{name}' has no blocks one above the other, so layer_decay has"
            " nothing to grade; leave it out, or state learning_rate."
        )
    return {id(parameter): decay ** (top - layers[key]) for key, parameter in encoder.named_parameters()}


def _layers(names: Iterable[str]) -> list[int]:
    """For each parameter, in the order of the model, its layer: 0 below the blocks, 1 for the lowest block."""
    layers, current = [], 0
    for name in names:
        block = BLOCK.search(name)
        if block:
            current = int(block[1]) + 1
        layers.append(0 if "embed" in name and not block else current)
    return layers
