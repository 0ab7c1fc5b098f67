"""Several classes at once: each label is there or not."""

from typing import Any, Self

import torch
from pydantic import BaseModel, Field, PositiveFloat, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.heads.calibration import best_threshold, fit_temperature, known_rows
from sensorium.heads.network import Network


class LabelsConfig(BaseModel, frozen=True, extra="forbid"):
    """A yes or no to each of `classes` labels.

    prior: how frequent each is in training. class_weights: what the loss of each label's positives is multiplied by
    (None: 1). hidden: units of a hidden layer (0: a linear head). choose_threshold: let `calibrate` choose for each
    label the probability above which it is given, for the best F1; otherwise it is 0.5.
    """

    classes: int = Field(ge=1)
    prior: list[float]
    class_weights: list[PositiveFloat] | None = None
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    choose_threshold: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for values in (self.prior, self.class_weights):
            if values is not None and len(values) != self.classes:
                raise ValueError(f"{len(values)} values were given for {self.classes} labels")
        return self


class LabelsDecision(nn.Module):
    """From log-odds to a loss and a decision: the temperature, each label's threshold and the prior.

    Scores are log-odds, float32 [B, K]. The buffers `temperature` and `threshold` ([K]) are set by `calibrate`.
    """

    def __init__(self, config: LabelsConfig):
        super().__init__()
        self.config = config
        prior = torch.tensor(config.prior).clamp(1e-6, 1 - 1e-6)
        weights = torch.tensor(config.class_weights or [1.0] * config.classes)
        self.register_buffer("prior", prior, persistent=False)
        self.register_buffer("class_weights", weights, persistent=False)
        # Positives counted `weight` times teach the odds of a world that has that many more of them.
        self.register_buffer("learned_log_odds", prior.logit() + weights.log(), persistent=False)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("threshold", torch.full((config.classes,), 0.5))

    def apply_temperature(self, logits: Tensor) -> Tensor:
        """Log-odds float [B, K] -> log-odds at the fitted temperature."""
        return logits / self.temperature

    def loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Binary cross-entropy, the mean over the labels, float32 [B], against `labels`, float [B, K] of 0 and 1."""
        smoothing = self.config.label_smoothing
        labels = torch.where(target["mask"][:, None], target["labels"], 0.0).to(scores.dtype)
        labels = labels * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none", pos_weight=self.class_weights)
        return losses.mean(dim=-1)

    def log_loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean binary cross-entropy without weights or smoothing: a scalar."""
        return F.binary_cross_entropy_with_logits(scores, target["labels"].to(scores.dtype))

    def predict(self, scores: Tensor, present: Tensor) -> dict[str, Tensor]:
        """`probabilities` [B, K], the prior where `present`, bool [B], is False, and `decision`, bool [B, K]."""
        probabilities = torch.where(present[:, None], scores.sigmoid(), self.prior)
        return {"probabilities": probabilities, "decision": probabilities > self.threshold}

    @torch.no_grad()
    def calibrate(self, logits: Tensor, target: dict[str, Tensor]) -> None:
        """Sets temperature and thresholds from validation rows: logits float [B, K], all of them with labels."""
        wide = logits.double()
        self.temperature.fill_(fit_temperature(lambda t: self.log_loss(wide / t, target), len(logits)))
        if self.config.choose_threshold:
            probabilities, labels = self.apply_temperature(logits).sigmoid(), target["labels"] > 0.5
            chosen = [best_threshold(probabilities[:, k], labels[:, k], "f1") for k in range(self.config.classes)]
            self.threshold.copy_(torch.tensor(chosen))

    def average(self, scores: Tensor, shares: Tensor) -> Tensor:
        """The experts' mean probability: scores [B, E, K], shares [B, E]; what they lack to 1 is the prior's."""
        prior_share = (1 - shares.sum(dim=1, keepdim=True)).clamp(min=0) * self.prior  # [B, K]
        mean = (shares[..., None] * scores.sigmoid()).sum(dim=1) + prior_share
        return torch.logit(mean, eps=1e-6)

    def product(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Product of experts (Hinton 2002) for each label, in log-odds and without the prior they share.

        log-odds = sum_i w_i log-odds_i - (sum_i w_i - 1) learned_log_odds, of scores [B, E, K] and weights [B, E].
        """
        weights = weights.to(scores.dtype)
        prior_weight = 1 - weights.sum(dim=1, keepdim=True)
        return (weights[..., None] * scores).sum(dim=1) + prior_weight * self.learned_log_odds

    def vote(self, scores: Tensor, decisions: Tensor, shares: Tensor) -> dict[str, Tensor]:
        """Majority of `decisions`, bool [B, E, K], with shares [B, E]; a tie goes by the mean probability.

        `probabilities` [B, K] are the shares of the votes.
        """
        votes = (decisions * shares[..., None]).sum(dim=1)
        mean = self.average(scores, shares).sigmoid()
        no_expert = shares.sum(dim=1, keepdim=True) == 0
        probabilities = torch.where(no_expert, self.prior, votes)
        # A majority is at least 1 / 2E from the tie, so this changes no majority.
        return {"probabilities": probabilities, "decision": probabilities + (mean - 0.5) / (2 * scores.shape[1]) > 0.5}


class Labels(nn.Module):
    """Several classes at once, from the fused summary."""

    Config = LabelsConfig
    Decision = LabelsDecision
    kind = "labels"
    reads = "pooled"

    def __init__(self, config: LabelsConfig, dim: int):
        super().__init__()
        self.config = config
        self.decision = LabelsDecision(config)
        self.network = Network(dim, config.hidden, config.dropout, self.decision.learned_log_odds)

    def scores(self, fused: Features) -> Tensor:
        """Log-odds, float32 [B, K]."""
        return self.decision.apply_temperature(self.network(fused.pooled))

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """Binary cross-entropy of each row, float32 [B]; of a row without target or input it means nothing."""
        return self.decision.loss(self.scores(fused), target)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`probabilities` float32 [B, K] and `decision` bool [B, K]; the training prior in a row without any input."""
        return self.decision.predict(self.scores(fused), fused.present)

    @staticmethod
    def decode(prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's labels as `decision` and the `probabilities` of all by label, of what `predict` gives."""
        return [
            {
                "decision": [label for label, has in zip(labels, marks, strict=True) if has],
                "probabilities": dict(zip(labels, row, strict=True)),
            }
            for marks, row in zip(
                prediction["decision"].tolist(), prediction["probabilities"].float().tolist(), strict=True
            )
        ]

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Fits temperature and thresholds on validation rows. In evaluation mode, once, after training."""
        fused, target = known_rows(fused, target)
        if len(fused.pooled):
            self.decision.calibrate(self.network(fused.pooled), target)
