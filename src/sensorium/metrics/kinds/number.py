"""The metrics of a target that is a number."""

import numpy as np

from sensorium.metrics.kinds.base import Columns, no_class_scores, no_confusion, same_prediction, same_prior
from sensorium.metrics.ranking import ratio, spearman
from sensorium.metrics.resampling import Metric, mean


class NumberMetrics:
    """truth {"value": float [N]}, prediction {"decision": float [N]}, both in the user's units."""

    packages, extra = (), None
    signature = "r2"
    score_name = "negative absolute error"
    forgetting = ("r2", "neg_mean_absolute_error")
    prior_decision = staticmethod(same_prior)
    first_labels = staticmethod(same_prediction)
    per_class = staticmethod(no_class_scores)
    confusion = staticmethod(no_confusion)

    @staticmethod
    def metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
        """Errors, R² and rank correlation."""
        value, decision = truth["value"].astype(np.float64), prediction["decision"].astype(np.float64)
        squared = mean((value - decision) ** 2)
        return {
            "neg_mean_absolute_error": mean(-np.abs(value - decision)),
            "neg_root_mean_squared_error": lambda weights: -np.sqrt(squared(weights)),
            "r2": r2(value, decision),
            "spearman": spearman(value, decision),
        }

    @staticmethod
    def headline(prior: Columns) -> str:
        """R²."""
        return "r2"

    @staticmethod
    def subgroup_metric(headline: str) -> str:
        """The absolute error: R² measures each subgroup against its own spread, so that a narrow one looks bad."""
        return "neg_mean_absolute_error"

    @staticmethod
    def sample_loss(truth: Columns, prediction: Columns) -> np.ndarray:
        """The squared error."""
        return (truth["value"].astype(np.float64) - prediction["decision"]) ** 2

    @staticmethod
    def sample_score(truth: Columns, prediction: Columns) -> np.ndarray:
        """Minus the absolute error."""
        return -np.abs(prediction["decision"].astype(np.float64) - truth["value"])

    @staticmethod
    def is_right(truth: Columns, prediction: Columns) -> None:
        """A number is near or far."""


def r2(value: np.ndarray, decision: np.ndarray) -> Metric:
    """The share of the truth's variance that the prediction explains, at most 1; both float64 [N]."""
    spread = value.std() or 1.0
    # Before the resamples' float32, which would lose the digits of a far mean.
    centred = (value - value.mean()) / spread
    error = mean(((value - decision) / spread) ** 2)
    first, second = mean(centred), mean(centred**2)

    def metric(weights: np.ndarray) -> np.ndarray:
        square = second(weights)
        variance = square - first(weights) ** 2
        return 1 - ratio(error(weights), np.where(variance > 1e-6 * square, variance, 0.0))

    return metric
