"""Per-sample scores → metric, interval, chance level, paired test."""

from sensorium.metrics.comparison import Difference, compare_all, holm
from sensorium.metrics.kinds import METRIC_KINDS, ClassScores, MetricKind
from sensorium.metrics.kinds.base import Columns
from sensorium.metrics.kinds.vqa import exact_match, vqa_accuracy
from sensorium.metrics.measure import chance, headline, measure, metrics, per_class, sample_loss
from sensorium.metrics.resampling import (
    CONFIDENCE,
    CONFIDENCE_PERCENT,
    INTERVAL,
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
from sensorium.metrics.shares import Share, measured, share

__all__ = [
    "CONFIDENCE",
    "CONFIDENCE_PERCENT",
    "INTERVAL",
    "METRIC_KINDS",
    "ClassScores",
    "Columns",
    "Difference",
    "Metric",
    "MetricKind",
    "Resamples",
    "Share",
    "Value",
    "chance",
    "compare_all",
    "distribution",
    "exact_match",
    "finite",
    "headline",
    "holm",
    "interval",
    "mean",
    "measure",
    "measured",
    "metrics",
    "paired",
    "per_class",
    "point",
    "sample_loss",
    "share",
    "summary",
    "vqa_accuracy",
]
