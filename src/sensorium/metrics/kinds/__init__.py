"""The metrics of each kind of target, named as scikit-learn's scorers: one object a kind, under the kind's name.

Truth and prediction are a target's columns as data.targets and a head give them: arrays of the N rows that have it.
What a kind must offer is `MetricKind` in base.py.

Conventions. A precision, recall or F1 whose denominator is zero is 0. Of a class target, macro precision, recall and F1
average over the classes that occur among the truths or the decisions, balanced accuracy over those among the truths; of
a labels target, over all labels. ROC-AUC and average precision of two classes take the second as the positive one; of
more, and of labels, they average over those for which they are defined (see `ranking`). R² is undefined where the truth
is constant.
"""

from importlib.util import find_spec

from sensorium.errors import needs
from sensorium.metrics.kinds.answer import AnswerMetrics
from sensorium.metrics.kinds.base import ClassScores, MetricKind
from sensorium.metrics.kinds.boxes import BOXES_METRICS
from sensorium.metrics.kinds.class_ import ClassMetrics
from sensorium.metrics.kinds.labels import LabelsMetrics
from sensorium.metrics.kinds.number import NumberMetrics
from sensorium.metrics.kinds.text import TEXT_METRICS

METRIC_KINDS: dict[str, MetricKind | type[MetricKind]] = {
    "class": ClassMetrics,
    "labels": LabelsMetrics,
    "number": NumberMetrics,
    "answer": AnswerMetrics,
    "text": TEXT_METRICS,
    "boxes": BOXES_METRICS,
}

__all__ = ["METRIC_KINDS", "ClassScores", "MetricKind", "check_measurable"]


def check_measurable(kind: str) -> None:
    """Raises UserError where a package that measures a kind of target is not installed."""
    metric_kind = METRIC_KINDS[kind]
    for package in metric_kind.packages:
        if find_spec(package) is None:
            raise needs(package, metric_kind.extra)
