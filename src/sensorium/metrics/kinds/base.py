"""What the metrics of a kind of target offer, and what several kinds share."""

from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from sensorium.metrics.counts import fraction
from sensorium.metrics.resampling import Metric

Columns = dict[str, np.ndarray]


class ClassScores(NamedTuple):
    """One class or label: precision, recall, F1 (0 where the denominator is zero) and how many rows truly have it."""

    precision: float
    recall: float
    f1: float
    support: int


class MetricKind(Protocol):
    """The metrics of a kind of target. All methods are static; truth and prediction have N rows.

    signature: a metric that no other kind has, by which saved figures tell the kind.
    packages, extra: what measuring needs beside the core install, and the extra that brings it.
    score_name: what `sample_score` measures, in words. forgetting: the metrics that tell what was forgotten, the one
    that the sentence is about first.
    """

    packages: ClassVar[tuple[str, ...]]
    extra: ClassVar[str | None]
    signature: ClassVar[str]
    score_name: ClassVar[str]
    forgetting: ClassVar[tuple[str, ...]]

    @staticmethod
    def metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
        """All metrics, by name."""

    @staticmethod
    def headline(prior: Columns) -> str:
        """The one metric by which inputs are judged, given the training prior's prediction."""

    @staticmethod
    def subgroup_metric(headline: str) -> str:
        """The metric by which subgroups of the records are compared."""

    @staticmethod
    def prior_decision(prior: Columns) -> Columns:
        """The prior's prediction with the decision that knows nothing but the prior: the chance level's."""

    @staticmethod
    def sample_loss(truth: Columns, prediction: Columns) -> np.ndarray:
        """Each row's loss, float64 [N]; lower is better."""

    @staticmethod
    def sample_score(truth: Columns, prediction: Columns) -> np.ndarray:
        """Each row's score, float64 [N]; higher is better."""

    @staticmethod
    def is_right(truth: Columns, prediction: Columns) -> np.ndarray | None:
        """bool [N]: whether the decision is right; None for a kind whose decisions are near or far, not right."""

    @staticmethod
    def first_labels(prediction: Columns, count: int) -> Columns:
        """The prediction of a model that has learned more labels, as far as it is about the first `count`."""

    @staticmethod
    def per_class(truth: Columns, prediction: Columns) -> list[ClassScores]:
        """The scores of each class or label, in the order of the labels; [] for a kind without them."""

    @staticmethod
    def confusion(truth: Columns, prediction: Columns) -> np.ndarray | None:
        """int [K, K]: rows of each true class (row) that were decided as each class (column); None where decisions are
        not one class.
        """


def no_class_scores(truth: Columns, prediction: Columns) -> list[ClassScores]:
    """`per_class` of a kind without classes."""
    return []


def no_confusion(truth: Columns, prediction: Columns) -> None:
    """`confusion` of a kind whose decisions are not one class."""


def same_metric(headline: str) -> str:
    """`subgroup_metric` of a kind whose headline compares subgroups too."""
    return headline


def same_prior(prior: Columns) -> Columns:
    """`prior_decision` of a kind whose prior already has the decision that knows nothing else."""
    return prior


def same_prediction(prediction: Columns, count: int) -> Columns:
    """`first_labels` of a kind whose prediction does not grow with the labels."""
    return prediction


def class_scores(true: np.ndarray, decided: np.ndarray) -> list[ClassScores]:
    """The scores of each column of bool [N, K] truths and decisions."""
    scores = []
    for true_column, decided_column in zip(true.T, decided.T, strict=True):
        counts = (int((true_column & decided_column).sum()), int(decided_column.sum()), int(true_column.sum()))
        fractions = [fraction(name, *counts) for name in ("precision", "recall", "f1")]
        values = [numerator / denominator if denominator else 0.0 for numerator, denominator in fractions]
        scores.append(ClassScores(*values, support=counts[2]))
    return scores
