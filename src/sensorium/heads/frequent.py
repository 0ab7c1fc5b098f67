"""An answer as one of the frequent ones, which several people may have given in part."""

from typing import Any, Self

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.heads.calibration import fit_temperature, known_rows
from sensorium.heads.classes import ClassDecision, ClassesConfig
from sensorium.heads.network import Network

MOST = 3129  # answers: those that VQA v2 has nine times or more (Teney et al. 2017, arXiv:1708.02711)


class FrequentConfig(BaseModel, frozen=True, extra="forbid"):
    """A decision among the `classes` commonest answers, at most `most`.

    prior: how large a share of the training records' answers each is. hidden: units of a hidden layer (0: a linear
    head).
    """

    classes: int = Field(ge=2)
    prior: list[float]
    most: int = Field(MOST, ge=2)
    hidden: int = Field(0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _cut(cls, settings: Any) -> Any:
        """Keeps the `most` commonest answers, which stand first."""
        most, prior = settings.get("most", MOST), settings.get("prior", [])
        if not isinstance(most, int) or len(prior) <= most:
            return settings
        shares = np.array(prior[:most])
        return settings | {"classes": most, "prior": (shares / shares.sum()).tolist()}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.prior) != self.classes:
            raise ValueError(f"a prior of {len(self.prior)} answers was given for {self.classes}")
        return self


class FrequentDecision(nn.Module):
    """From log-probabilities, float32 [B, K], to a loss against the shares of answers, and the likeliest answer."""

    def __init__(self, config: FrequentConfig):
        super().__init__()
        self.config = config
        self.classes = ClassDecision(ClassesConfig(classes=config.classes, prior=config.prior))

    def apply_temperature(self, logits: Tensor) -> Tensor:
        """float [B, K] of any constant offset -> log-probabilities at the fitted temperature."""
        return self.classes.apply_temperature(logits)

    def loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Cross-entropy against the share of the annotators, float32 [B]: `answers` int64 [B, A], `weight` [B, A].

        An answer that is not among the K frequent ones, or -1, counts nothing.
        """
        position = target["answers"]
        listed = (position >= 0) & (position < scores.shape[1])
        log_probability = scores.gather(1, position.where(listed, 0))  # [B, A]
        return -(log_probability * target["weight"].to(scores.dtype)).where(listed, 0.0).sum(dim=1)

    def log_loss(self, scores: Tensor, target: dict[str, Tensor]) -> Tensor:
        """The mean of the loss: a scalar."""
        return self.loss(scores, target).mean()

    def predict(self, scores: Tensor, present: Tensor) -> dict[str, Tensor]:
        """`decision` int64 [B], a position among the answers, and its `probability` float32 [B]; of the training prior
        where `present`, bool [B], is False.
        """
        return _likeliest(self.classes.predict(scores, present)["probabilities"])

    @torch.no_grad()
    def calibrate(self, logits: Tensor, target: dict[str, Tensor]) -> None:
        """Sets the temperature from validation rows: logits float [B, K], all of them with an answer."""
        wide = logits.double()
        fitted = fit_temperature(lambda t: self.log_loss((wide / t).log_softmax(dim=-1), target), len(logits))
        self.classes.temperature.fill_(fitted)

    def average(self, scores: Tensor, shares: Tensor) -> Tensor:
        """The experts' mean probability: scores [B, E, K], shares [B, E]; what they lack to 1 is the prior's."""
        return self.classes.average(scores, shares)

    def product(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Product of experts: scores [B, E, K], weights [B, E]."""
        return self.classes.product(scores, weights)

    def vote(self, scores: Tensor, decisions: Tensor, shares: Tensor) -> dict[str, Tensor]:
        """Majority of `decisions`, int64 [B, E], with shares [B, E]; `probability` is the share of its votes."""
        voted = self.classes.vote(scores, decisions, shares)
        position = voted["decision"][:, None]
        return {"decision": voted["decision"], "probability": voted["probabilities"].gather(1, position)[:, 0]}


class TopAnswers(nn.Module):
    """The likeliest of the frequent answers, from the fused summary."""

    Config = FrequentConfig
    Decision = FrequentDecision
    kind = "answer"
    reads = "pooled"

    def __init__(self, config: FrequentConfig, dim: int):
        super().__init__()
        self.config = config
        self.decision = FrequentDecision(config)
        self.network = Network(dim, config.hidden, config.dropout, self.decision.classes.learned_prior.log())

    def scores(self, fused: Features) -> Tensor:
        """Log-probabilities, float32 [B, K]."""
        return self.decision.apply_temperature(self.network(fused.pooled))

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of each row against the share of its annotators, float32 [B]; zero where no answer is known."""
        return self.decision.loss(self.scores(fused), target)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """`decision` int64 [B], a position among the answers, and its `probability` float32 [B]; of the training prior
        in a row without any input.
        """
        return _likeliest(self.probabilities(fused))

    def probabilities(self, fused: Features) -> Tensor:
        """How likely each of all K answers is, float32 [B, K]; the training prior in a row without any input."""
        return self.decision.classes.predict(self.scores(fused), fused.present)["probabilities"]

    @staticmethod
    def as_target(prediction: dict[str, Tensor]) -> dict[str, Tensor]:
        """The decision of what `predict` gives, as `loss` takes it."""
        return answer_as_target(prediction["decision"])

    @staticmethod
    def decode(prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's answer as `decision` and its `probability`, of what `predict` gives; labels: the answers."""
        return decode_answers(prediction, labels)

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Fits the temperature on validation rows. In evaluation mode, once, after training."""
        fused, target = known_rows(fused, target)
        if len(fused.pooled):
            self.decision.calibrate(self.network(fused.pooled), target)


def answer_as_target(decision: Tensor) -> dict[str, Tensor]:
    """Answers, int64 [B], as one that everybody gave."""
    return {"answers": decision[:, None], "weight": torch.ones(len(decision), 1, device=decision.device)}


def decode_answers(prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
    """Of each row the answer, a position among `labels`, and its probability."""
    probabilities = prediction["probability"].float().tolist()
    return [
        {"decision": labels[position], "probability": probability}
        for position, probability in zip(prediction["decision"].tolist(), probabilities, strict=True)
    ]


def _likeliest(probabilities: Tensor) -> dict[str, Tensor]:
    probability, position = probabilities.max(dim=1)
    return {"decision": position, "probability": probability}
