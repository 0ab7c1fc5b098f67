"""Late fusion's decision: each token's own, then one of them all."""

from typing import Any, Literal, Protocol, Self

import torch
from pydantic import BaseModel, Field, ValidationError, model_validator
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.heads.calibration import fit_weights, known_rows
from sensorium.heads.single import HEADS


class Expert(Protocol):
    """A head that can be one of several experts: it has scores, and a Decision that combines and decides by them.

    Decision: a module made of the head's Config, with apply_temperature, loss, log_loss, predict, calibrate, average
    and product, and vote where decisions can be voted on; see heads/classes.py and heads/number.py.
    """

    Decision: type[nn.Module]
    decision: nn.Module
    kind: str

    def scores(self, fused: Features) -> Tensor:
        """float32 [B, K], what the decision is made by."""

    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Fits what is chosen on validation rows."""


class LateConfig(BaseModel, frozen=True, extra="forbid"):
    """`experts` heads of the kind `head`, each with the options `config`, and how their decisions become one.

    combine: "product" of experts; "mean" of their probabilities; "learned", a mean with trained weights; "vote", the
    majority of their decisions (not of numbers).
    """

    head: str
    config: dict[str, Any]
    experts: int = Field(gt=0)
    combine: Literal["mean", "learned", "vote", "product"] = "product"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.head not in HEADS or not hasattr(HEADS[self.head], "Decision"):
            experts = ", ".join(name for name, head in HEADS.items() if hasattr(head, "Decision"))
            raise ValueError(f"head: '{self.head}' has no scores that several experts combine; choose one of {experts}")
        try:
            HEADS[self.head].Config(**self.config)
        except ValidationError as error:
            first = error.errors()[0]
            setting = ["inner head", *(str(name) for name in first["loc"])]
            raise ValueError(f"{', '.join(setting)}: {first['msg']}") from error
        return self


class Late(nn.Module):
    """A head for each token of the fused features, and one decision of those whose token is real.

    A fusion that gives one token for each input (`separate`), or one more for all (`hybrid`), makes each an expert.
    Raises UserError for a vote on numbers, and for fused features with another number of tokens than `experts`.
    """

    Config = LateConfig

    def __init__(self, config: LateConfig, dim: int):
        super().__init__()
        inner = HEADS[config.head]
        if config.combine == "vote" and not hasattr(inner.Decision, "vote"):
            raise UserError(
                "Numbers cannot be voted on: choose combine 'mean', 'learned' or 'product' for the head 'late'."
            )
        settings = inner.Config(**config.config)
        self.config, self.kind, self.decode = config, inner.kind, inner.decode
        if hasattr(inner, "as_target"):
            self.as_target = inner.as_target
        self.experts = nn.ModuleList(inner(settings, dim) for _ in range(config.experts))
        self.decision = inner.Decision(settings)
        if config.combine == "product":
            self.register_buffer("weights", torch.ones(config.experts))
        # The softmax of one number is 1: a single expert has no share to learn.
        learns = config.combine == "learned" and config.experts > 1
        self.shares = nn.Parameter(torch.zeros(config.experts)) if learns else None

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """float32 [B]: mean of the present experts' losses; for `mean` and `learned` plus that of their one decision.

        The experts of a product learn each by itself: under the loss of one joint decision the input that learns
        fastest keeps the other inputs from learning (Wang et al. 2020, arXiv:1905.12681).
        """
        scores = self.scores(fused)
        losses = torch.stack([self.decision.loss(score, target) for score in scores.unbind(dim=1)], dim=1)  # [B, E]
        mean_loss = (losses * _equal_shares(fused.mask)).sum(dim=1)
        if self.config.combine in ("vote", "product"):
            return mean_loss
        return mean_loss + self.decision.loss(self._combined(scores, fused.mask), target)

    def predict(self, fused: Features) -> dict[str, Tensor]:
        """What the inner head predicts, of all present experts together; the prior in a row without any.

        An expert that is alone in a row decides as it would without other experts.
        """
        return self._predicted(fused, self.decision, [expert.decision for expert in self.experts])

    def probabilities(self, fused: Features) -> Tensor:
        """Of experts on frequent answers: how likely each of all K answers is, float32 [B, K], as in `predict`."""
        expert_decisions = [expert.decision.classes for expert in self.experts]
        return self._predicted(fused, self.decision.classes, expert_decisions)["probabilities"]

    @torch.no_grad()
    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Calibrates each expert, fits the product's weights, then calibrates the one decision, on validation rows.

        A weight for each expert turns down one that is useless or too sure of itself. In evaluation mode, once.
        """
        for expert, token in self._tokens(fused):
            expert.calibrate(token, target)
        has_several = fused.mask.sum(dim=1) > 1
        fused, target = known_rows(fused, target | {"mask": target["mask"] & has_several})
        if self.config.combine == "vote" or not len(fused.pooled):
            return
        scores, mask = self.scores(fused).double(), fused.mask
        if self.config.combine == "product":
            weights = fit_weights(
                lambda weights: self.decision.log_loss(self.decision.product(scores, weights * mask), target),
                self.config.experts,
                len(scores),
            )
            self.weights.copy_(weights)
        self.decision.calibrate(self._combined(scores.float(), mask), target)

    def _predicted(self, fused: Features, joint: nn.Module, expert_decisions: list[nn.Module]) -> dict[str, Tensor]:
        """What `joint` predicts from all present experts together; in a row with one expert, what its own decision of
        `expert_decisions` predicts.
        """
        scores = self.scores(fused)
        predictions = [decision.predict(scores[:, i], fused.mask[:, i]) for i, decision in enumerate(expert_decisions)]
        if self.config.combine == "vote":
            decisions = [prediction["decision"] for prediction in predictions]
            stacked = torch.stack(decisions, dim=1)  # [B, E] or [B, E, K]
            together = joint.vote(scores, stacked, _equal_shares(fused.mask))
        else:
            combined = joint.apply_temperature(self._combined(scores, fused.mask))
            together = joint.predict(combined, fused.present)
        # What was fitted for several experts would make a single one too sure or too unsure: its own decision counts.
        alone = fused.mask & (fused.mask.sum(dim=1, keepdim=True) == 1)
        for i, prediction in enumerate(predictions):
            together = {
                key: torch.where(_like(alone[:, i], value), prediction[key], value) for key, value in together.items()
            }
        return together

    def _tokens(self, fused: Features) -> list[tuple[nn.Module, Features]]:
        """Each expert with the token it decides on, as features of one token."""
        if fused.tokens.shape[1] != len(self.experts):
            raise UserError(
                f"The head 'late' has {len(self.experts)} experts but the fusion gives {fused.tokens.shape[1]} tokens; "
                "use it with the fusion 'separate' or 'hybrid'."
            )
        return [(expert, Features.one(fused.tokens[:, i], fused.mask[:, i])) for i, expert in enumerate(self.experts)]

    def scores(self, fused: Features) -> Tensor:
        """Each expert's scores, float32 [B, E, K] (a number: mean and variance, K = 2)."""
        return torch.stack([expert.scores(token) for expert, token in self._tokens(fused)], dim=1)

    def _combined(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Scores [B, E, K] of experts of which mask, bool [B, E], are present -> scores [B, K]."""
        if self.config.combine == "product":
            return self.decision.product(scores, self.weights * mask)
        if self.shares is None:
            return self.decision.average(scores, _equal_shares(mask))
        # A softmax over no expert would be NaN: such a row spreads its shares over all, then counts for nothing.
        allowed = mask | ~mask.any(dim=1, keepdim=True)
        return self.decision.average(scores, self.shares.where(allowed, -torch.inf).softmax(dim=1) * mask)


def _equal_shares(mask: Tensor) -> Tensor:
    """The same share, float32 [B, E], for each present expert, bool [B, E]: of sum 1, or 0 where there is none."""
    return mask / mask.sum(dim=1, keepdim=True).clamp(min=1)


def _like(rows: Tensor, value: Tensor) -> Tensor:
    """rows [B] shaped to broadcast over value [B, ...]."""
    return rows.unflatten(0, (-1, *[1] * (value.dim() - 1)))  # [B, 1, ...]
