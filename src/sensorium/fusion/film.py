"""Serial fusion: inputs are read one after another, and the state so far modulates the next."""

import torch
from pydantic import BaseModel, Field
from torch import nn

from sensorium.errors import UserError, check_known
from sensorium.features import Features
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide


class FilmConfig(BaseModel, frozen=True, extra="forbid"):
    """`order`: the inputs' names, first to last (None: the table's order); `dim`: width of the fused token; `dropout`
    acts before the input maps."""

    order: list[str] | None = None
    dim: int = Field(128, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class Film(nn.Module):
    """h₁ = x₁, then hₖ = (1 + γₖ) ⊙ xₖ + βₖ with [γₖ; βₖ] = Wₖ hₖ₋₁ + cₖ, and y is the last h.

    Feature-wise linear modulation (Perez et al. 2018, arXiv:1709.07871), one input after another in a stated order. An
    absent input is skipped: h stays as it is, and the first present input is the start. Raises UserError for an
    order that does not name each input once."""

    Config = FilmConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: FilmConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        order = list(dims) if config.order is None else _checked(config.order, list(dims))
        self.inputs = Inputs({name: dims[name] for name in order}, config.dim, config.dropout)
        self.modulations = nn.ModuleList(nn.Linear(config.dim, 2 * config.dim) for _ in order[1:])

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        summaries, present = self.inputs.each(features)  # [B, D] of each input, zero where absent
        state, started, all_present = summaries[0], present[:, :1], bool(present.all())
        for i, modulation in enumerate(self.modulations, start=1):
            x, real = summaries[i], present[:, i, None]  # [B, D], [B, 1]
            scale, shift = wide(modulation(state)).chunk(2, dim=-1)
            modulated = (1 + scale) * x + shift
            state = modulated if all_present else torch.where(started & real, modulated, torch.where(real, x, state))
            started = started | real
        return Features.one(state, started[:, 0])


def _checked(order: list[str], names: list[str]) -> list[str]:
    """`order`, which names each of `names` once."""
    for name in order:
        check_known(names, "input", name)
    for name in names:
        if order.count(name) != 1:
            how_often = "twice" if name in order else "not at all"
            raise UserError(f"The order of film names the input '{name}' {how_often}; name each input once.")
    return order
