"""Early fusion: the inputs' summaries side by side, then an MLP."""

from pydantic import BaseModel, Field
from torch import nn

from sensorium.features import Features
from sensorium.fusion.joint import Joint
from sensorium.nn.inputs import Inputs


class ConcatConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of the fused token; the MLP's inner width is `ratio` times it; `dropout` before the input maps and
    inside the MLP."""

    dim: int = Field(128, gt=0)
    ratio: int = Field(2, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)


class Concat(nn.Module):
    """Concatenation of the pooled inputs and an MLP, with a learned vector where an input is absent.

    Plain concatenation puts zeros there and collapses when an input is missing; the learned vector distinguishes
    "absent" from "zero", and modality dropout trains the following layers to do without."""

    Config = ConcatConfig
    reads = "pooled"
    gives_experts = False
    experts = 1

    def __init__(self, config: ConcatConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim, config.dropout)
        self.joint = Joint(len(dims), config.dim, config.ratio, config.dropout, fewest=1)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of every input, widths as in `dims` -> tokens float32 [B, 1, D], mask [B, 1], pooled [B, D]."""
        return self.joint(*self.inputs.summaries(features))
