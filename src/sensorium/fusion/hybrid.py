"""Late and early at once: one token for each input and one for all together."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.fusion.joint import Joint
from sensorium.fusion.separate import mean_of_real
from sensorium.nn.inputs import Inputs


class HybridConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of each token; the joint token's MLP is `ratio` times as wide inside, with `dropout`, which also
    acts before the input maps. `modality_dropout`: rate at which training hides an input from the joint token
    of more than two, so that it learns to do without (ModDrop, Neverova et al. 2015, arXiv:1501.00102); a recipe takes
    it from its training settings."""

    dim: int = Field(128, gt=0)
    ratio: int = Field(2, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    modality_dropout: float = Field(0.2, ge=0, lt=1)


class Hybrid(nn.Module):
    """The tokens of `Separate` and a joint token, real where at least two inputs are present.

    With the head `late` each input keeps a decision of its own, which stands when the others are absent, and the joint
    token learns what only several inputs together show (the exclusive-or of two). One input alone has no joint token.
    """

    Config = HybridConfig
    reads = "pooled"
    gives_experts = True

    def __init__(self, config: HybridConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim, config.dropout)
        several = len(dims) > 1
        self.joint = Joint(len(dims), config.dim, config.ratio, config.dropout, fewest=2) if several else None
        self.experts = len(dims) + several

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each of N inputs -> tokens float32 [B, N + 1, D] (one where N = 1), their mask, pooled [B, D]."""
        tokens, mask = self.inputs.summaries(features)
        if self.joint is not None:
            joint = self.joint(tokens, self._inputs_of_joint(mask))
            tokens, mask = torch.cat([tokens, joint.tokens], dim=1), torch.cat([mask, joint.mask], dim=1)
        return Features(tokens, mask, mean_of_real(tokens, mask))

    def _inputs_of_joint(self, mask: Tensor) -> Tensor:
        """Which inputs, bool [B, N], the joint token reads. Of two it needs both."""
        rate = self.config.modality_dropout
        if not self.training or mask.shape[1] == 2 or rate == 0.0:
            return mask
        return mask & (torch.rand(mask.shape, device=mask.device) >= rate)
