"""Low-rank adapters: small trained matrices beside the weights of a large encoder, which stay as they are."""

from importlib.util import find_spec
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sensorium.errors import UserError, needs, unknown


class AdapterSettings(BaseModel, frozen=True, extra="forbid"):
    """Low-rank adapters of an encoder (Hu et al. 2021, arXiv:2106.09685).

    rank: of each added matrix. alpha: what is added weighs alpha / rank. dropout: before the added matrices. targets:
    the layers that get them, by the last parts of their names; none takes every linear layer, or in a network that has
    none every convolution that is not by channel."""

    rank: int = Field(8, ge=1, description="of each added matrix")
    alpha: float = Field(16.0, gt=0, description="what is added weighs alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the added matrices, in training")
    targets: list[str] | None = Field(None, description="last parts of the names of the layers that get them")


def check_adapters() -> None:
    """Raises UserError when the package that makes adapters is missing."""
    if find_spec("peft") is None:
        raise needs("peft", "peft")


def adapt(encoder: nn.Module, settings: AdapterSettings, name: str, seed: int, part: str = "encoder") -> None:
    """Puts untrained adapters into the encoder of input `name`, or another `part`, in place; only they are trained from
    then on. Untrained adapters add nothing. The same seed gives the same adapters. Raises UserError when the module is
    neither of Transformers nor of timm, when no layer is named as the targets are, and for dropout in a timm model."""
    check_adapters()
    from peft import LoraConfig, inject_adapter_in_model

    inner = _adaptable_model(encoder, name, part)
    if settings.dropout and hasattr(inner, "pretrained_cfg"):
        raise UserError(
            f"The adapter of '{name}' has dropout, but a timm model stays in evaluation mode in training, where dropout"
            " does nothing; leave it out."
        )
    layer_names = _target_layers(inner, settings, name)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=layer_names,
        fan_in_fan_out=any(isinstance(inner.get_submodule(layer_name), Conv1D) for layer_name in layer_names),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, inner)
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    for layer in _adapted_layers(inner).values():
        for key, parameter in layer.named_parameters():
            parameter.requires_grad_("lora_" in key)


def merge(model: nn.Module) -> None:
    """Adds the adapters' products to the own weights of what they are in and removes the adapters; does nothing without
    any. The outputs stay the same, to rounding, and the plain model that results does not need the package."""
    for module in list(model.modules()):
        if hasattr(module, "peft_config"):
            for layer_name, layer in _adapted_layers(module).items():
                layer.merge()
                module.set_submodule(layer_name, layer.get_base_layer())
            del module.peft_config


def _adaptable_model(encoder: nn.Module, name: str, part: str) -> nn.Module:
    """The part of `encoder` that is a model of Transformers or timm."""
    for module in encoder.modules():
        if isinstance(module, PreTrainedModel) or hasattr(module, "pretrained_cfg"):
            return module
    raise UserError(
        f"The {part} {type(encoder).__name__} of '{name}' takes no adapter, which tunes {part}s of Transformers and"
        " timm; leave the adapter out, and all of it is trained."
    )


def _target_layers(inner: nn.Module, settings: AdapterSettings, name: str) -> list[str]:
    """The full names of the layers that get adapters."""
    words = getattr(inner, "get_output_embeddings", lambda: None)()  # their matrix is often that of the inputs
    linear = [
        key for key, module in inner.named_modules() if isinstance(module, nn.Linear | Conv1D) and module is not words
    ]
    convolutions = [
        key for key, module in inner.named_modules() if isinstance(module, nn.Conv2d | nn.Conv1d) and module.groups == 1
    ]
    if settings.targets is None:
        return linear or convolutions
    layers: list[str] = []
    for target in settings.targets:
        matches = [key for key in linear + convolutions if key == target or key.endswith(f".{target}")]
        if not matches:
            last = {key.rsplit(".", 1)[-1] for key in linear + convolutions}
            raise unknown(f"layer for the adapter of '{name}'", target, last)
        layers += matches
    return layers


def _adapted_layers(inner: nn.Module) -> dict[str, Any]:
    """By name, the layers of `inner` that have adapters."""
    from peft.tuners.lora import LoraLayer

    return {key: module for key, module in inner.named_modules() if isinstance(module, LoraLayer)}
