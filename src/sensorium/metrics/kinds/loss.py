"""The metrics of a target that is scored by its head's loss, as what is written: what is written is measured apart."""

from dataclasses import dataclass

import numpy as np

from sensorium.metrics.kinds.base import (
    Columns,
    no_class_scores,
    no_confusion,
    same_metric,
    same_prediction,
    same_prior,
)
from sensorium.metrics.resampling import Metric, mean


@dataclass(frozen=True)
class LossMetrics:
    """Minus the loss of a token on average, in nats, under the name `signature`; a MetricKind. truth: of no use;
    prediction {"loss": float [N]}. packages, extra: what measures what is written.
    """

    signature: str
    packages: tuple[str, ...] = ()
    extra: str | None = None

    score_name = "negative loss a token"
    subgroup_metric = staticmethod(same_metric)
    prior_decision = staticmethod(same_prior)
    first_labels = staticmethod(same_prediction)
    per_class = staticmethod(no_class_scores)
    confusion = staticmethod(no_confusion)

    @property
    def forgetting(self) -> tuple[str, ...]:
        """As MetricKind says."""
        return (self.signature,)

    def metrics(self, truth: Columns, prediction: Columns) -> dict[str, Metric]:
        """Minus the loss of a token."""
        return {self.signature: mean(self.sample_score(truth, prediction))}

    def headline(self, prior: Columns) -> str:
        """Minus the loss."""
        return self.signature

    @staticmethod
    def sample_loss(truth: Columns, prediction: Columns) -> np.ndarray:
        """The head's loss, float64 [N]."""
        return prediction["loss"].astype(np.float64)

    @staticmethod
    def sample_score(truth: Columns, prediction: Columns) -> np.ndarray:
        """Minus the loss, float64 [N]."""
        return -prediction["loss"].astype(np.float64)

    @staticmethod
    def is_right(truth: Columns, prediction: Columns) -> None:
        """What is written is near or far."""
