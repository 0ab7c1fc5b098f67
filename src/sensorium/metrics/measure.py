"""A target measured: every metric with its interval and its chance level, each class, the confusion matrix."""

import numpy as np

from sensorium.metrics.kinds import METRIC_KINDS, ClassScores
from sensorium.metrics.kinds.base import Columns
from sensorium.metrics.resampling import Metric, Resamples, Value, distribution, finite, point
from sensorium.metrics.shares import measured

NO_CHANCE = {"expected_calibration_error": None, "spearman": 0.0}


def metrics(kind: str, truth: Columns, prediction: Columns) -> dict[str, Metric]:
    """All metrics of a target of this kind, by name."""
    return METRIC_KINDS[kind].metrics(truth, prediction)


def measure(kind: str, truth: Columns, prediction: Columns, prior: Columns, resamples: Resamples) -> dict[str, Value]:
    """Every metric with interval and chance level; `prior` is the training prior predicted for the same rows."""
    by_name = metrics(kind, truth, prediction)
    drawn = distribution(by_name, resamples)
    levels = chance(kind, truth, prior)
    return {name: measured(metric, drawn[name], resamples, levels[name]) for name, metric in by_name.items()}


def chance(kind: str, truth: Columns, prior: Columns) -> dict[str, float | None]:
    """Each metric of `prior`, the training prior predicted for the same rows, with its own decision.

    None for the calibration error, which a prior that knows nothing can bring to its best; 0 for Spearman's
    correlation, which a constant leaves undefined.
    """
    constant = metrics(kind, truth, METRIC_KINDS[kind].prior_decision(prior))
    rows = len(next(iter(truth.values())))
    return {name: NO_CHANCE.get(name, finite(point(metric, rows))) for name, metric in constant.items()}


def headline(kind: str, prior: Columns) -> str:
    """The one metric by which inputs are judged, given the training prior's prediction."""
    return METRIC_KINDS[kind].headline(prior)


def per_class(kind: str, truth: Columns, prediction: Columns) -> list[ClassScores]:
    """The scores of each class or label, in the order of the labels; [] for a kind without them."""
    return METRIC_KINDS[kind].per_class(truth, prediction)


def sample_loss(kind: str, truth: Columns, prediction: Columns) -> np.ndarray:
    """Each row's loss, float [N]; lower is better."""
    return METRIC_KINDS[kind].sample_loss(truth, prediction)
