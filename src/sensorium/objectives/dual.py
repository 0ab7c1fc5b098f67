"""Learning two inputs by each other: either embedding reconstructs the other, and itself by way of the other."""

from typing import Any

from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.losses import dual
from sensorium.objectives.pair import Pair
from sensorium.objectives.step import Step


class DualConfig(BaseModel, frozen=True, extra="forbid"):
    """gap: weight of the duality gap beside the reconstructions. hidden: units of the hidden layer of the maps."""

    gap: float = Field(1.0, ge=0)
    hidden: int = Field(128, gt=0)


class Dual(nn.Module):
    """Has the embeddings of inputs `a` and `b` of a record reconstruct each other, and themselves by way of the other.

    dims: the widths of the two embeddings. gap: weight of the duality gap, by which both ways have to be equally good.
    hidden: of the maps between the embeddings, which are kept here. weight: of this loss in the sum. No record is
    compared with another, so there are no false negatives and a batch may be of any size; records with the same content
    are so many observations. See `losses.dual` for the formula."""

    Config = DualConfig
    aligns = True
    needs_temperature = False
    shares_space = False
    reads = "embeddings"

    def __init__(self, a: str, b: str, dims: tuple[int, int], gap: float = 1.0, hidden: int = 128, weight: float = 1.0):
        super().__init__()
        self.pair, self.gap = Pair(a, b), gap
        self.name, self.views = f"{a}_{b}_dual", (a, b)
        self.weights = {self.name: weight}
        self.forth, self.back = _mapping(*dims, hidden), _mapping(*reversed(dims), hidden)

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the records that have both inputs."""
        a, b = self.pair.a, self.pair.b
        present = (step.batch.present(a), step.batch.present(b))
        return {self.name: dual(step.embedding(a), step.embedding(b), self.forth, self.back, *present, self.gap)}

    @staticmethod
    def model_options(model: Model, dims: tuple[int, int]) -> dict[str, Any]:
        """The widths of the two embeddings."""
        return {"dims": dims}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self.pair.count(batch)}


def _mapping(dim_in: int, dim_out: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim_in, hidden), nn.GELU(), nn.Linear(hidden, dim_out))
