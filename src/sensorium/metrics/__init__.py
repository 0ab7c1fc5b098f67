"""Per-sample scores → metric, interval, chance level, paired test."""

from sensorium.metrics.kinds import Columns, metrics, sample_loss
from sensorium.metrics.measure import ClassScores, chance, confusion, headline, measure, per_class
from sensorium.metrics.resampling import (
    Metric,
    Resamples,
    Value,
    distribution,
    finite,
    interval,
    paired,
    point,
    summary,
)

__all__ = [
    "ClassScores",
    "Columns",
    "Metric",
    "Resamples",
    "Value",
    "chance",
    "confusion",
    "distribution",
    "finite",
    "headline",
    "interval",
    "measure",
    "metrics",
    "paired",
    "per_class",
    "point",
    "sample_loss",
    "summary",
]
