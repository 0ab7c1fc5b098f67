"""AdamW over groups of parameters, warm-up and cosine."""

import math
from typing import NamedTuple

import torch
from torch import nn

from sensorium.training.layers import layer_scales
from sensorium.training.learner import Learner
from sensorium.training.settings import TrainingSettings


class EncoderLearningRate(NamedTuple):
    """The learning rate of an input's encoder, None for that of the training, and the factor by which each layer learns
    slower than the one above it."""

    learning_rate: float | None = None
    layer_decay: float | None = None


def optimizer(learner: Learner, settings: TrainingSettings, rates: dict[str, EncoderLearningRate]) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), fused, over the trained parameters. `rates` is by input, for
    the encoders whose rate is their own. Vectors and scalars are not decayed."""
    own_rates = {}
    for name, rate in rates.items():
        encoder, highest = learner.model.encoders[name], rate.learning_rate or settings.learning_rate
        scales = {} if rate.layer_decay is None else layer_scales(encoder, rate.layer_decay, name)
        own_rates |= {id(parameter): highest * scales.get(id(parameter), 1.0) for parameter in encoder.parameters()}
    # FSDP does not shard scalars, and a group is of one kind.
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter in learner.parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            rate = own_rates.get(id(parameter), settings.learning_rate)
            groups.setdefault((rate, decay, parameter.ndim == 0), []).append(parameter)
    options = [
        {"params": group, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay, _), group in groups.items()
    ]
    return torch.optim.AdamW(options, betas=(0.9, 0.99), fused=True)


def schedule(step: int, steps: int, warmup: float) -> float:
    """The factor on every learning rate at `step` of `steps`: a linear rise, then half a cosine down to zero."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
