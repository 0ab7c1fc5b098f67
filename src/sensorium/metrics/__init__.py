"""Per-sample scores → metric, interval, chance level, paired test."""

from sensorium.metrics.answers import exact_match, vqa_accuracy
from sensorium.metrics.comparison import Difference, compare_all, holm
from sensorium.metrics.kinds import Columns, metrics, sample_loss
from sensorium.metrics.measure import ClassScores, chance, confusion, headline, measure, per_class
from sensorium.metrics.resampling import (
    Metric,
    Resamples,
    Value,
    distribution,
    finite,
    interval,
    mean,
    paired,
    point,
    summary,
)

__all__ = [
    "ClassScores",
    "Columns",
    "Difference",
    "Metric",
    "Resamples",
    "Value",
    "chance",
    "compare_all",
    "confusion",
    "distribution",
    "exact_match",
    "finite",
    "headline",
    "holm",
    "interval",
    "mean",
    "measure",
    "metrics",
    "paired",
    "per_class",
    "point",
    "sample_loss",
    "summary",
    "vqa_accuracy",
]
