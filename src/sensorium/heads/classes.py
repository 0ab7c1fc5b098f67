"""One class of several."""

from typing import Any, Self

import torch
from pydantic import BaseModel, Field, PositiveFloat, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.features import Features
from sensorium.heads.calibration import Balance, best_threshold, fit_temperature, known_rows
from sensorium.heads.network import Network


class ClassesConfig(BaseModel, frozen=True, extra="forbid"):
    """A decision among `classes` classes.

    prior: how frequent each is in training. class_weights: what each class's loss is multiplied by (None: 1). hidden:
    units of a hidden layer (0: a linear head). choose_threshold: of two classes, let `calibrate` choose the probability
    above which the second is decided, for the best `balance` (F1 is of the class that is rarer in training); otherwise
    it is 0.5.
    """

    classes: int = Field(ge=2)
    prior: list[float]
    class_weights: list[PositiveFloat] | None = None
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    choose_threshold: bool = False
    balance: Balance = "balanced_accuracy"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for values in (self.prior, self.class_weights):
            if values is not None and len(values) != self.classes:
                raise ValueError(f"{len(values)} values were given for {self.classes} classes")
        return self


class ClassDecision(nn.Module):
    """From log-probabilities to a loss and a decision: the temperature, the threshold and the prior.

    Scores are log-probabilities, float32 [B, K]. The buffers `temperature` and `threshold` are set by `calibrate`.
    """

    def __init__(self, config: ClassesConfig):
        super().__init__()
        self.config = config
        prior = torch.tensor(config.prior).clamp(min=1e-6)
        weights = torch.tensor(config.class_weights or [1.0] * config.classes)
        self.register_buffer("prior", prior / prior.sum(), persistent=False)
        self.register_buffer("class_weights", weights, persistent=False)
        # Weighted losses teach probabilities of a world in which the classes are as frequent as weight times prior.
        self.register_buffer("learned_prior", prior * weights / (prior * weights).sum(), persistent=False)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("threshold", torch.full((), 0.5))

    def apply_temperature(self, logits: Tensor) -> Tensor:
        """float [B, K] of any constant offset -> log-probabilities at the fitted temperature."""
        return F.log_softmax(logits / self.temperature, dim=-1)

    def loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Cross-entropy, float32 [B], against `label`, int64 [B]."""
        label, smoothing = target["label"].clamp(min=0), self.config.label_smoothing
        return F.cross_entropy(scores, label, self.class_weights, reduction="none", label_smoothing=smoothing)

    def log_loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean of -log p of the true class, without weights or smoothing: a scalar."""
        return F.nll_loss(scores, target["label"])

    def predict(self, scores: Tensor, present: Tensor) -> dict[str, Tensor]:
        """`probabilities` [B, K], the prior where `present`, bool [B], is False, and `decision`, int64 [B]."""
        probabilities = torch.where(present[:, None], scores.exp(), self.prior)
        return {"probabilities": probabilities, "decision": self._decide(probabilities)}

    def _decide(self, probabilities: Tensor) -> Tensor:
        if self.config.classes == 2:
            return (probabilities[:, 1] > self.threshold).long()
        return probabilities.argmax(dim=-1)

    @torch.no_grad()
    def calibrate(self, logits: Tensor, target: dict[str, Tensor]) -> None:
        """Sets temperature and threshold from validation rows: logits float [B, K], all of them with a label."""
        wide = logits.double()
        self.temperature.fill_(
            fit_temperature(lambda t: self.log_loss(F.log_softmax(wide / t, dim=-1), target), len(logits))
        )
        if self.config.choose_threshold and self.config.classes == 2:
            rare = int(self.prior.argmin())
            chosen = best_threshold(
                self.apply_temperature(logits).exp()[:, rare], target["label"] == rare, self.config.balance
            )
            self.threshold.fill_(chosen if rare == 1 else 1 - chosen)

    def average(self, scores: Tensor, shares: Tensor) -> Tensor:
        """The experts' mean probability: scores [B, E, K], shares [B, E]; what they lack to 1 is the prior's."""
        prior_share = (1 - shares.sum(dim=1, keepdim=True)).clamp(min=0) * self.prior  # [B, K]
        return ((shares[..., None] * scores.exp()).sum(dim=1) + prior_share).clamp(min=1e-12).log()

    def product(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Product of experts (Hinton 2002, doi:10.1162/089976602760128018), each counted without the prior they share.

        log p = sum_i w_i log p_i - (sum_i w_i - 1) log learned_prior + constant, of scores [B, E, K], weights [B, E].
        """
        weights = weights.to(scores.dtype)
        prior_weight = 1 - weights.sum(dim=1, keepdim=True)
        return F.log_softmax((weights[..., None] * scores).sum(dim=1) + prior_weight * self.learned_prior.log(), dim=-1)

    def vote(self, scores: Tensor, decisions: Tensor, shares: Tensor) -> dict[str, Tensor]:
        """Majority of `decisions`, int64 [B, E], with shares [B, E]; a tie goes to the greater mean probability.

        `probabilities` [B, K] are the shares of the votes.
        """
        votes = F.one_hot(decisions, self.config.classes) * shares[..., None]
        mean = self.average(scores, shares).exp()
        no_expert = shares.sum(dim=1, keepdim=True) == 0
        probabilities = torch.where(no_expert, self.prior, votes.sum(dim=1))
        # Vote shares differ by at least 1 / E, so half of that is too little to overturn a majority.
        return {
            "probabilities": probabilities,
            "decision": (probabilities + mean / (2 * scores.shape[1])).argmax(dim=-1),
        }


class Classes(nn.Module):
    """One class of several, from the fused summary."""

    Config = ClassesConfig
    Decision = ClassDecision
    kind = "class"
    reads = "pooled"

    def __init__(self, config: ClassesConfig, dim: int):
        super().__init__()
        self.config = config
        self.decision = ClassDecision(config)
        self.network = Network(dim, config.hidden, config.dropout, self.decision.learned_prior.log())

    def scores(self, fused: Features) -> Tensor:
        """Log-probabilities, float32 [B, K]."""
        return self.decision.apply_temperature(self.network(fused.pooled))

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of each row, float32 [B]; of a row without label or input it is finite and means nothing."""
        return self.decision.loss(self.scores(fused), target)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`probabilities` float32 [B, K] and `decision` int64 [B]; the training prior in a row without any input."""
        return self.decision.predict(self.scores(fused), fused.present)

    @staticmethod
    def as_target(prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """The decision of what `predict` gives, as `loss` takes it."""
        return {"label": prediction["decision"]}

    @staticmethod
    def decode(prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's class as `decision` and its `probabilities` by label, of what `predict` gives."""
        return [
            {"decision": labels[index], "probabilities": dict(zip(labels, row, strict=True))}
            for index, row in zip(
                prediction["decision"].tolist(), prediction["probabilities"].float().tolist(), strict=True
            )
        ]

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Fits temperature and threshold on validation rows. In evaluation mode, once, after training."""
        fused, target = known_rows(fused, target)
        if len(fused.pooled):
            self.decision.calibrate(self.network(fused.pooled), target)
