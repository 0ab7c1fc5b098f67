"""A target measured: every metric with its interval and its chance level, each class, the confusion matrix."""

from typing import NamedTuple

import numpy as np

from sensorium.metrics.counts import fraction
from sensorium.metrics.kinds import Columns, metrics
from sensorium.metrics.resampling import Resamples, Value, distribution, finite, point, summary

NO_CHANCE = {"expected_calibration_error": None, "spearman": 0.0}


class ClassScores(NamedTuple):
    """One class or label: precision, recall, F1 (0 where the denominator is zero) and how many rows truly have it."""

    precision: float
    recall: float
    f1: float
    support: int


def measure(kind: str, truth: Columns, prediction: Columns, prior: Columns, resamples: Resamples) -> dict[str, Value]:
    """Every metric with interval and chance level; `prior` is the training prior predicted for the same rows."""
    known = metrics(kind, truth, prediction)
    drawn = distribution(known, resamples)
    levels = chance(kind, truth, prior)
    points = {name: point(metric, resamples.rows) for name, metric in known.items()}
    return {name: summary(at, drawn[name], resamples.units, levels[name]) for name, at in points.items()}


def chance(kind: str, truth: Columns, prior: Columns) -> dict[str, float | None]:
    """Each metric of `prior`, the training prior predicted for the same rows.

    It decides for the most frequent class and for the labels more frequent than half: a model's own decision may use a
    threshold, which is no part of the prior. None for the calibration error, which a prior that knows nothing can bring
    to its best; 0 for Spearman's correlation, which a constant leaves undefined.
    """
    if kind in ("class", "labels"):
        share = prior["probabilities"]
        prior = {**prior, "decision": share.argmax(axis=1) if kind == "class" else share > 0.5}
    rows = len(prior["decision"])
    constant = metrics(kind, truth, prior)
    return {name: NO_CHANCE.get(name, finite(point(metric, rows))) for name, metric in constant.items()}


def headline(kind: str, prior: Columns) -> str:
    """The one metric by which inputs are judged, given the training prior's prediction.

    A class: accuracy, or balanced accuracy when the training prior's largest class is above .8, where accuracy hardly
    moves. Labels: average precision, which needs no threshold. A number: R². An answer: VQA accuracy.
    """
    if kind == "class":
        return "balanced_accuracy" if prior["probabilities"].mean(axis=0).max() > 0.8 else "accuracy"
    return {"labels": "average_precision", "number": "r2", "answer": "vqa_accuracy"}[kind]


def per_class(kind: str, truth: Columns, prediction: Columns) -> list[ClassScores]:
    """The scores of each class or label, in the order of the labels; [] for a number or an answer."""
    if kind in ("number", "answer"):
        return []
    if kind == "class":
        classes = np.arange(prediction["probabilities"].shape[1])
        true, given = truth["label"][:, None] == classes, prediction["decision"][:, None] == classes
    else:
        true, given = truth["labels"].astype(bool), prediction["decision"].astype(bool)
    scores = []
    for column, decided in zip(true.T, given.T, strict=True):
        counts = (int((column & decided).sum()), int(decided.sum()), int(column.sum()))
        parts = [fraction(name, *counts) for name in ("precision", "recall", "f1")]
        scores.append(ClassScores(*(part / whole if whole else 0.0 for part, whole in parts), support=counts[2]))
    return scores


def confusion(truth: Columns, prediction: Columns) -> np.ndarray:
    """How many rows of each true class (row) were given each class (column): int [K, K]."""
    classes = prediction["probabilities"].shape[1]
    cell = truth["label"] * classes + prediction["decision"]
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)  # [K, K]
