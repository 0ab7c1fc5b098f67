"""A number."""

from typing import Any, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.heads.calibration import known_rows
from sensorium.heads.network import Network


class NumberConfig(BaseModel, frozen=True, extra="forbid"):
    """A number in the user's units, learned as (value - mean) / scale.

    mean, scale: of the training values; the mean is also the prior. criterion: "huber" (of 1 scale; outliers pull less)
    or "squared". hidden: units of a hidden layer (0: a linear head).
    """

    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    criterion: Literal["huber", "squared"] = "huber"
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class NumberDecision(nn.Module):
    """From a Gaussian of the standardised value to a loss and a decision.

    Scores are its mean and its variance, float32 [B, 2]; the prior is the standard Gaussian.
    """

    def __init__(self, config: NumberConfig):
        super().__init__()
        self.config = config

    def apply_temperature(self, scores: Tensor) -> Tensor:
        """The scores as they are: a number has no temperature."""
        return scores

    def standardise(self, target: dict[str, Tensor]) -> Tensor:
        """`value` float64 [B] in units of the training spread, float32; 0 where `mask` is False."""
        value = (target["value"] - self.config.mean) / self.config.scale
        return torch.where(target["mask"], value, 0.0).float()

    def loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Huber loss, or half the squared error, of the standardised value: float32 [B]."""
        value = self.standardise(target)
        if self.config.criterion == "huber":
            return F.huber_loss(scores[:, 0], value, reduction="none")
        return (scores[:, 0] - value).square() / 2

    def log_loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean negative log-likelihood of the Gaussian, less a constant: a scalar."""
        return F.gaussian_nll_loss(scores[:, 0], self.standardise(target).to(scores.dtype), scores[:, 1])

    def predict(self, scores: Tensor, present: Tensor) -> dict[str, Tensor]:
        """`decision`, float64 [B] in the user's units; the training mean where `present`, bool [B], is False."""
        return {"decision": torch.where(present, scores[:, 0], 0.0).double() * self.config.scale + self.config.mean}

    def calibrate(self, scores: Tensor, target: dict[str, Tensor]) -> None:
        """A number is decided as it is: neither temperature nor threshold."""

    def average(self, scores: Tensor, shares: Tensor) -> Tensor:
        """The experts' mean: scores [B, E, 2], shares [B, E]; what they lack to 1 is the prior's."""
        prior_share = (1 - shares.sum(dim=1, keepdim=True)).clamp(min=0) * scores.new_tensor([0.0, 1.0])  # [B, 2]
        return (shares[..., None] * scores).sum(dim=1) + prior_share

    def product(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Product of Gaussian experts, weighted by precision, without the standard Gaussian prior they share.

        precision = sum_i w_i / v_i - (sum_i w_i - 1), mean = sum_i (w_i m_i / v_i) / precision, of scores [B, E, 2] and
        weights [B, E]. Variances of at most 1 keep the precision at 1 or more.
        """
        weights = weights.to(scores.dtype)
        precisions = weights / scores[..., 1]
        precision = precisions.sum(dim=1) + 1 - weights.sum(dim=1)
        mean = (precisions * scores[..., 0]).sum(dim=1) / precision
        return torch.stack([mean, 1 / precision], dim=-1)


class Number(nn.Module):
    """A number, from the fused summary.

    Buffers set on validation rows: `slope`, from 0 to 1, which draws an exaggerated prediction towards the training
    mean, and `variance`, the mean squared error after that.
    """

    Config = NumberConfig
    Decision = NumberDecision
    kind = "number"
    reads = "pooled"

    def __init__(self, config: NumberConfig, dim: int):
        super().__init__()
        self.config = config
        self.decision = NumberDecision(config)
        self.network = Network(dim, config.hidden, config.dropout, torch.zeros(1))
        # Before it is known: half of what the prior leaves open.
        self.register_buffer("variance", torch.full((), 0.5))
        self.register_buffer("slope", torch.ones(()))

    def scores(self, fused: Features) -> Tensor:
        """Mean and variance of the standardised value, float32 [B, 2]."""
        mean = self.slope * self.network(fused.pooled)[:, 0]  # [B]
        return torch.stack([mean, self.variance.expand_as(mean)], dim=-1)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """The criterion's loss of each row, float32 [B]; of a row without value or input it is finite."""
        return self.decision.loss(self.scores(fused), target)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`decision`, float64 [B] in the user's units; the training mean in a row without any input."""
        return self.decision.predict(self.scores(fused), fused.present)

    @staticmethod
    def as_target(prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """The decision of what `predict` gives, as `loss` takes it."""
        return {"value": prediction["decision"]}

    @staticmethod
    def decode(prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's number as `decision`, of what `predict` gives; a number has no labels."""
        return [{"decision": value} for value in prediction["decision"].tolist()]

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Fits slope and variance on validation rows. In evaluation mode, once, after training."""
        fused, target = known_rows(fused, target)
        if len(fused.pooled):
            mean, value = self.network(fused.pooled)[:, 0], self.decision.standardise(target)
            # Least squares through the training mean, with a pull towards 1 that is worth about one row.
            self.slope.copy_(((mean * value).sum() + 1) / (mean.square().sum() + 1)).clamp_(0, 1)
            self.variance.copy_((self.slope * mean - value).square().mean().clamp(1e-4, 1.0))
