"""Learning that a record's own input is nearer than another record's, by a margin."""

from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.errors import check_known
from sensorium.features import Batch, Loss
from sensorium.objectives.losses import triplet
from sensorium.objectives.losses.triplet import MININGS
from sensorium.objectives.of_recipe import no_model_options
from sensorium.objectives.pair import Pair
from sensorium.objectives.step import Step


class TripletConfig(BaseModel, frozen=True, extra="forbid"):
    """mining: "semihard" learns from the nearest negative that is further away than the record's own, "hardest" from
    the nearest of all. margin: by which the own is to be nearer, of squared distances, which are 0 to 4. labels: a
    target of classes; records of one class belong together as well."""

    mining: Literal["semihard", "hardest"] = "semihard"
    margin: float = Field(0.2, gt=0, le=4)
    labels: str | None = None


class Triplet(nn.Module):
    """Has each record's input `a` nearer to its `b` than to another's by `margin`, of squared distance, and the other
    way round (FaceNet, Schroff et al. 2015, arXiv:1503.03832).

    mining: "semihard", which learns from the nearest other that is further away than the record's own, or "hardest",
            which learns from the nearest other and the furthest that belongs to it: faster, but from an untrained
            model, or with wrong pairs, it may draw everything to one point.
    margin: squared distances are between 0 and 4. weight: of this loss in the sum.

    Records that belong together, see `Pair`, are no negatives of each other. Raises UserError for an unknown mining."""

    Config = TripletConfig
    aligns = True
    needs_temperature = False
    shares_space = True
    reads = "embeddings"
    model_options = staticmethod(no_model_options)

    def __init__(
        self,
        a: str,
        b: str,
        mining: str = "semihard",
        margin: float = 0.2,
        weight: float = 1.0,
        labels: str | None = None,
    ):
        super().__init__()
        check_known(MININGS, "mining", mining)
        self.pair, self.mining, self.margin = Pair(a, b, labels), mining, margin
        self.name, self.views = f"{a}_{b}_triplet", (a, b)
        self.weights = {self.name: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the records that have both inputs."""
        return {self.name: triplet(**self.pair.sides(step), margin=self.margin, mining=self.mining)}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self.pair.count(batch)}
