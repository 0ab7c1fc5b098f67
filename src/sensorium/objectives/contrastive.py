"""Learning that two inputs of a record belong together."""

import math
from typing import Any

from pydantic import BaseModel
from torch import Tensor, nn

from sensorium.errors import UserError, check_known
from sensorium.features import Batch, Loss
from sensorium.model import Model
from sensorium.objectives.losses import bound_logit_scale, sigmoid_contrastive, softmax_contrastive
from sensorium.objectives.pair import Pair
from sensorium.objectives.step import Step

# The largest factor on the cosines, as its logarithm: CLIP's own; published SigLIP models have come to 120.
MOST_SCALE = {"softmax": math.log(100), "sigmoid": math.log(500)}


class ContrastiveConfig(BaseModel, frozen=True, extra="forbid"):
    """labels: a target of classes; records of one class belong together as well."""

    labels: str | None = None


class Contrastive(nn.Module):
    """Brings the embeddings of inputs `a` and `b` of a record together and those of different records apart.

    kind: "softmax" (CLIP) or "sigmoid" (SigLIP; the model then has a `logit_bias` beside its `logit_scale`). weight: of
    this loss in the sum. Which records belong together: see `Pair`. It `reads` embeddings alone, those of its `views`,
    so that gradient caching can run the encoders in pieces. Raises UserError for an unknown kind."""

    Config = ContrastiveConfig
    aligns = True
    needs_temperature = True
    shares_space = True
    reads = "embeddings"

    def __init__(self, a: str, b: str, kind: str = "softmax", weight: float = 1.0, labels: str | None = None):
        super().__init__()
        check_known(MOST_SCALE, "contrastive loss", kind)
        self.pair, self.kind = Pair(a, b, labels), kind
        self.name = f"{a}_{b}"
        self.views = (a, b)
        self.weights = {self.name: weight}

    def forward(self, step: Step) -> dict[str, Loss]:
        """Sum and count over the records that have both inputs. Raises UserError for a model without the parameters."""
        needed = ("logit_scale",) if self.kind == "softmax" else ("logit_scale", "logit_bias")
        for name in needed:
            if not hasattr(step.model, name):
                raise UserError(
                    f"The {self.kind} loss of '{self.pair.a}' and '{self.pair.b}' needs a model with a {name}."
                )
        loss = softmax_contrastive if self.kind == "softmax" else sigmoid_contrastive
        return {self.name: loss(**self.pair.sides(step), **{name: getattr(step.model, name) for name in needed})}

    @staticmethod
    def model_options(model: Model, dims: tuple[int, int]) -> dict[str, Any]:
        """The kind of loss whose parameters the model has."""
        return {"kind": "sigmoid" if hasattr(model, "logit_bias") else "softmax"}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """How many rows `forward` will count."""
        return {self.name: self.pair.count(batch)}

    def post_step(self, model: Model) -> None:
        """Brings the model's `logit_scale` back within its bounds, in place: a factor of 1 to 100 (sigmoid: 500)."""
        bound_logit_scale(model.logit_scale, high=MOST_SCALE[self.kind])
