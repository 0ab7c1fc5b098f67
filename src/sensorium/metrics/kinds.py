"""The metrics of each kind of target, named as scikit-learn's scorers.

Truth and prediction are a target's columns as data.targets and a head give them: arrays of the N rows that have it.
class:  truth {"label": int [N]},       prediction {"probabilities": float [N, K], "decision": int [N]}
labels: truth {"labels": bool [N, K]},  prediction {"probabilities": float [N, K], "decision": bool [N, K]}
number: truth {"value": float [N]},     prediction {"decision": float [N]}, both in the user's units
answer: truth {"answers", "weight", "annotators"} as data.targets gives them, prediction {"decision": int [N]}, a place

Conventions. A precision, recall or F1 whose denominator is zero is 0. Of a class target, macro precision, recall and F1
average over the classes that occur among the truths or the decisions, balanced accuracy over those among the truths; of
a labels target, over all labels. ROC-AUC and average precision of two classes take the second as the positive one; of
more, and of labels, they average over those for which they are defined (see `ranking`). R² is undefined where the truth
is constant.
"""

import numpy as np
from scipy.sparse import csr_array

from sensorium.metrics.answers import exact_match, vqa_accuracy
from sensorium.metrics.counts import Counts
from sensorium.metrics.ranking import average_precision, members, ratio, roc_auc, spearman
from sensorium.metrics.resampling import Metric, mean

Columns = dict[str, np.ndarray]
CALIBRATION_BINS = 15


def metrics(kind: str, truth: Columns, prediction: Columns) -> dict[str, Metric]:
    """All metrics of a target of this kind, "class", "labels", "number" or "answer", by name."""
    of = {"class": class_metrics, "labels": labels_metrics, "number": number_metrics, "answer": answer_metrics}
    return of[kind](truth, prediction)


def class_metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
    """The metrics of a target that is one class."""
    label, probabilities, decision = truth["label"], prediction["probabilities"], prediction["decision"]
    classes = probabilities.shape[1]
    counts = Counts(members(label, classes, label == decision), members(decision, classes), members(label, classes))
    positive = label[:, None] == np.arange(classes)
    ranks = slice(1, 2) if classes == 2 else slice(None)
    return {
        "accuracy": mean((label == decision).astype(float)),
        "balanced_accuracy": counts.balanced_accuracy,
        "precision_macro": counts.macro("precision", occurring=True),
        "recall_macro": counts.macro("recall", occurring=True),
        "f1_macro": counts.macro("f1", occurring=True),
        "f1_micro": counts.micro("f1"),
        "roc_auc" if classes == 2 else "roc_auc_ovr": roc_auc(probabilities[:, ranks], positive[:, ranks]),
        "average_precision": average_precision(probabilities[:, ranks], positive[:, ranks]),
        "neg_log_loss": mean(-sample_loss("class", truth, prediction)),
        "expected_calibration_error": calibration_error(label, probabilities),
    }


def labels_metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
    """The metrics of a target that is any number of labels; `accuracy` asks for all of a row's labels to be right."""
    labels, decision = truth["labels"].astype(bool), prediction["decision"].astype(bool)
    counts = Counts(marked(labels & decision), marked(decision), marked(labels))
    return {
        "accuracy": mean((labels == decision).all(axis=1).astype(float)),
        "hamming_loss": mean((labels != decision).mean(axis=1)),
        "precision_macro": counts.macro("precision", occurring=False),
        "recall_macro": counts.macro("recall", occurring=False),
        "f1_macro": counts.macro("f1", occurring=False),
        "precision_micro": counts.micro("precision"),
        "recall_micro": counts.micro("recall"),
        "f1_micro": counts.micro("f1"),
        "roc_auc": roc_auc(prediction["probabilities"], labels),
        "average_precision": average_precision(prediction["probabilities"], labels),
    }


def number_metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
    """The metrics of a target that is a number."""
    value, decision = truth["value"].astype(np.float64), prediction["decision"].astype(np.float64)
    squared = mean((value - decision) ** 2)
    return {
        "neg_mean_absolute_error": mean(-np.abs(value - decision)),
        "neg_root_mean_squared_error": lambda weights: -np.sqrt(squared(weights)),
        "r2": r2(value, decision),
        "spearman": spearman(value, decision),
    }


def answer_metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
    """The metrics of a target that is an answer; where one person answered, both are the share of right ones."""
    decision = prediction["decision"]
    return {
        "vqa_accuracy": mean(vqa_accuracy(truth, decision)),
        "exact_match": mean(exact_match(truth, decision)),
    }


def sample_loss(kind: str, truth: Columns, prediction: Columns) -> np.ndarray:
    """Each row's loss, float [N].

    A class: minus the log of its probability. Labels: the mean of that over them. A number: the squared error. An
    answer: one minus its VQA accuracy.
    """
    if kind == "answer":
        return 1 - vqa_accuracy(truth, prediction["decision"])
    if kind == "number":
        return (truth["value"].astype(np.float64) - prediction["decision"]) ** 2
    tiny = np.finfo(np.float64).eps
    probabilities = np.clip(prediction["probabilities"].astype(np.float64), tiny, 1 - tiny)
    if kind == "class":
        return -np.log(probabilities[np.arange(len(probabilities)), truth["label"]])
    return -np.log(np.where(truth["labels"].astype(bool), probabilities, 1 - probabilities)).mean(axis=1)


def calibration_error(label: np.ndarray, probabilities: np.ndarray) -> Metric:
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

    return metric


def r2(value: np.ndarray, decision: np.ndarray) -> Metric:
    """The share of the truth's variance that the prediction explains, at most 1; both float64 [N]."""
    spread = value.std() or 1.0
    centred = (
        value - value.mean()
    ) / spread  # before the resamples' float32, which would lose the digits of a far mean
    error = mean(((value - decision) / spread) ** 2)
    first, second = mean(centred), mean(centred**2)

    def metric(weights: np.ndarray) -> np.ndarray:
        square = second(weights)
        variance = square - first(weights) ** 2
        return 1 - ratio(error(weights), np.where(variance > 1e-6 * square, variance, 0.0))

    return metric


def marked(marks: np.ndarray) -> csr_array:
    """The matrix [K, N] that sums the rows marked in each column of bool [N, K]."""
    return csr_array(marks.T.astype(np.float32))
