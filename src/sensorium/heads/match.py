"""Whether the inputs of a record belong together."""

from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features


class MatchConfig(BaseModel, frozen=True, extra="forbid"):
    """It has no settings."""


class Match(nn.Module):
    """A linear map of the summary to two logits: the inputs are of different records, of one record.

    ALBEF's image-text matching (Li et al. 2021, arXiv:2107.07651).
    """

    Config = MatchConfig
    kind = "match"
    reads = "pooled"

    def __init__(self, config: MatchConfig, dim: int):
        super().__init__()
        self.config = config
        self.linear = nn.Linear(dim, 2)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: the cross-entropy of `match`, bool [B]."""
        return F.cross_entropy(self.linear(fused.pooled).float(), target["match"].long(), reduction="none")

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`decision` bool [B], and `probabilities` float32 [B, 2] of no and yes."""
        probabilities = self.linear(fused.pooled).float().softmax(dim=1)
        return {"decision": probabilities[:, 1] > 0.5, "probabilities": probabilities}
