"""Learning embeddings that vary together: deep canonical correlation analysis."""

from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.features import Batch, Loss
from sensorium.objectives.losses import canonical_correlation
from sensorium.objectives.of_recipe import no_model_options
from sensorium.objectives.pair import Pair, together
from sensorium.objectives.step import Step


class CorrelationConfig(BaseModel, frozen=True, extra="forbid"):
    """directions: of how many of the largest correlations the mean counts (None: of all). ridge: what is added to the
    variances, as a part of their mean."""

    directions: int | None = Field(None, ge=1)
    ridge: float = Field(1e-3, gt=0)


class Correlation(nn.Module):
    """Maximises the canonical correlations of the embeddings of inputs `a` and `b` (deep CCA, Andrew et al. 2013, with
    mini-batches as in Wang et al. 2015).

    No record is compared with another, so there are no false negatives; the correlations are those of a batch, which
    needs several times as many records as an embedding is wide. `weight`: of this loss in the sum. Records with the
    same content are so many observations. In training the covariances are those of all processes' records. Raises
    UserError for no direction at all."""

    Config = CorrelationConfig
    aligns = True
    needs_temperature = False
    shares_space = True
    reads = "embeddings"
    model_options = staticmethod(no_model_options)

    def __init__(self, a: str, b: str, directions: int | None = None, ridge: float = 1e-3, weight: float = 1.0):
        super().__init__()
        if directions is not None and directions < 1:
            raise UserError(f"directions is {directions}, but at least one correlation counts; leave it out for all.")
        self.pair, self.directions, self.ridge = Pair(a, b), directions, ridge
        self.name, self.views = f"{a}_{b}_correlation", (a, b)
        self.weights = {self.name: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count of the loss over the records that have both inputs."""
        a, b, batch = self.pair.a, self.pair.b, step.batch
        return {
            self.name: canonical_correlation(
                step.embedding(a), step.embedding(b), batch.present(a), batch.present(b), self.directions, self.ridge,
                together(step),
            )
        }  # fmt: skip

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self.pair.count(batch)}
