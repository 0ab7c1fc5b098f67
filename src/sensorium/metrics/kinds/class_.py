"""The metrics of a target that is one class."""

import numpy as np

from sensorium.metrics.counts import Counts
from sensorium.metrics.kinds.base import ClassScores, Columns, class_scores, same_metric, same_prediction
from sensorium.metrics.ranking import average_precision, members, roc_auc
from sensorium.metrics.resampling import Metric, mean
from sensorium.metrics.shares import Share, share

CALIBRATION_BINS = 15
IMBALANCED = 0.8  # the prior of the largest class above which accuracy hardly moves


class ClassMetrics:
    """truth {"label": int [N]}, prediction {"probabilities": float [N, K], "decision": int [N]}."""

    packages, extra = (), None
    signature = "balanced_accuracy"
    score_name = "accuracy"
    forgetting = ("accuracy", "balanced_accuracy", "neg_log_loss")
    subgroup_metric = staticmethod(same_metric)
    first_labels = staticmethod(same_prediction)

    @staticmethod
    def metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
        """Accuracies, precision, recall and F1, ranking, log loss and calibration."""
        label, probabilities, decision = truth["label"], prediction["probabilities"], prediction["decision"]
        classes = probabilities.shape[1]
        counts = Counts(members(label, classes, label == decision), members(decision, classes), members(label, classes))
        positive = label[:, None] == np.arange(classes)
        ranks = slice(1, 2) if classes == 2 else slice(None)
        return {
            "accuracy": share((label == decision).astype(float)),
            "balanced_accuracy": Share(counts.balanced_accuracy),
            "precision_macro": counts.macro("precision", occurring=True),
            "recall_macro": counts.macro("recall", occurring=True),
            "f1_macro": counts.macro("f1", occurring=True),
            "roc_auc" if classes == 2 else "roc_auc_ovr": roc_auc(probabilities[:, ranks], positive[:, ranks]),
            "average_precision": average_precision(probabilities[:, ranks], positive[:, ranks]),
            "neg_log_loss": mean(-ClassMetrics.sample_loss(truth, prediction)),
            "expected_calibration_error": calibration_error(label, probabilities),
        }

    @staticmethod
    def headline(prior: Columns) -> str:
        """Accuracy, or balanced accuracy when the training prior's largest class is above .8."""
        return "balanced_accuracy" if prior["probabilities"].mean(axis=0).max() > IMBALANCED else "accuracy"

    @staticmethod
    def prior_decision(prior: Columns) -> Columns:
        """The most frequent class: a model's own decision may use a threshold, which is no part of the prior."""
        return {**prior, "decision": prior["probabilities"].argmax(axis=1)}

    @staticmethod
    def sample_loss(truth: Columns, prediction: Columns) -> np.ndarray:
        """Minus the log of the true class's probability."""
        probabilities = inside(prediction["probabilities"])
        return -np.log(probabilities[np.arange(len(probabilities)), truth["label"]])

    @staticmethod
    def sample_score(truth: Columns, prediction: Columns) -> np.ndarray:
        """1 for a class that is right, else 0."""
        return ClassMetrics.is_right(truth, prediction).astype(np.float64)

    @staticmethod
    def is_right(truth: Columns, prediction: Columns) -> np.ndarray:
        """Whether it is the true class."""
        return prediction["decision"] == truth["label"]

    @staticmethod
    def per_class(truth: Columns, prediction: Columns) -> list[ClassScores]:
        """Each class."""
        classes = np.arange(prediction["probabilities"].shape[1])
        return class_scores(truth["label"][:, None] == classes, prediction["decision"][:, None] == classes)

    @staticmethod
    def confusion(truth: Columns, prediction: Columns) -> np.ndarray:
        """int [K, K]: truth by decision."""
        classes = prediction["probabilities"].shape[1]
        cell = truth["label"] * classes + prediction["decision"]
        return np.bincount(cell, minlength=classes**2).reshape(classes, classes)  # [K, K]


def inside(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in float64, kept from 0 and 1 by the smallest step, so that their logarithms are finite."""
    tiny = np.finfo(np.float64).eps
    return np.clip(probabilities.astype(np.float64), tiny, 1 - tiny)


def calibration_error(label: np.ndarray, probabilities: np.ndarray) -> Share:
    """Expected calibration error of the most probable class, in 15 bins of equal width; 0 is best.

    Guo et al. 2017, arXiv:1706.04599. label: int [N]; probabilities: float [N, K].
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == label
    bins = np.searchsorted(np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1], confidence)  # a bin holds its upper edge
    gaps = members(bins, CALIBRATION_BINS).astype(np.float64)
    gaps.data = (confidence - correct)[gaps.indices]

    def metric(weights: np.ndarray) -> np.ndarray:
        binned = gaps.astype(weights.dtype) @ weights
        return np.abs(binned).sum(axis=0, dtype=np.float64) / weights.sum(axis=0, dtype=np.float64)

    return Share(metric)
