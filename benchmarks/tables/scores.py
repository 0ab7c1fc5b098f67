"""How predictions are scored, and how two systems' are compared: paired, by resampled groups."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.metrics import Metric, Resamples, Value, distribution, mean, point, summary
from sensorium.metrics.kinds.number import r2
from sensorium.metrics.ranking import roc_auc

RESAMPLES = 1000
NUMBER = "prediction"  # the column of predicted numbers; those of classes are their labels, holding probabilities


class Measure(NamedTuple):
    """`metric` takes truths, str [N], and predictions, N rows; `tolerance` is how far below still is not below."""

    name: str
    classes: bool
    tolerance: float
    metric: Callable[[np.ndarray, pd.DataFrame], Metric]


def accuracy(truth: np.ndarray, predictions: pd.DataFrame) -> Metric:
    """The share of rows whose most probable label is the truth."""
    return mean((predictions.idxmax(axis=1).to_numpy(str) == truth).astype(float))


def area(truth: np.ndarray, predictions: pd.DataFrame) -> Metric:
    """The area under the ROC curve of the label that sorts last."""
    label = max(predictions.columns)
    return roc_auc(predictions[[label]].to_numpy(float), (truth == label)[:, None])


def explained(truth: np.ndarray, predictions: pd.DataFrame) -> Metric:
    """R²."""
    return r2(truth.astype(float), predictions[NUMBER].to_numpy(float))


ACCURACY = Measure("accuracy", True, 0.02, accuracy)
AUC = Measure("roc_auc", True, 0.02, area)
R2 = Measure("r2", False, 0.03, explained)


def fold_average(measure: Measure, truth: np.ndarray, predictions: list[pd.DataFrame], folds: np.ndarray) -> Metric:
    """The measure within each fold, averaged by rows: scores of different models are not ranked together.

    truth, folds: [N]; predictions: those of each fold that `folds` has, in order, rows as in `truth`.
    """
    members = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    metrics = [measure.metric(truth[rows], frame) for rows, frame in zip(members, predictions, strict=True)]

    def metric(weights: np.ndarray) -> np.ndarray:
        totals = [weights[rows].sum(axis=0) for rows in members]  # a resample of few groups may have none of a fold
        with np.errstate(invalid="ignore"):
            values = [metric(weights[rows]) for metric, rows in zip(metrics, members, strict=True)]
        summed = sum(np.where(total > 0, total * value, 0.0) for total, value in zip(totals, values, strict=True))
        return summed / np.sum(totals, axis=0)

    return metric


def score(metric: Metric, count: int) -> float:
    """The metric on `count` rows as they are."""
    return point(metric, count)


def difference(first: Metric, second: Metric, count: int, groups: np.ndarray | None) -> Value:
    """first - second on the same `count` rows, with the interval of RESAMPLES bootstrap resamples by group."""
    resamples = Resamples(count, groups, RESAMPLES)

    def metric(weights: np.ndarray) -> np.ndarray:
        return first(weights) - second(weights)

    drawn = distribution({"difference": metric}, resamples)["difference"]
    return summary(point(metric, count), drawn, resamples.units)
