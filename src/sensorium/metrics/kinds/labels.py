"""The metrics of a target that is any number of labels."""

import numpy as np
from scipy.sparse import csr_array

from sensorium.metrics.counts import Counts
from sensorium.metrics.kinds.base import ClassScores, Columns, class_scores, no_confusion, same_metric
from sensorium.metrics.kinds.class_ import inside
from sensorium.metrics.ranking import average_precision, roc_auc
from sensorium.metrics.resampling import Metric
from sensorium.metrics.shares import share


class LabelsMetrics:
    """truth {"labels": bool [N, K]}, prediction {"probabilities": float [N, K], "decision": bool [N, K]}."""

    packages, extra = (), None
    signature = "hamming_loss"
    score_name = "share of labels right"
    forgetting = ("average_precision", "f1_macro")
    subgroup_metric = staticmethod(same_metric)
    confusion = staticmethod(no_confusion)

    @staticmethod
    def metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
        """Precision, recall and F1, ranking; `accuracy` asks for all of a row's labels to be right."""
        labels, decision = truth["labels"].astype(bool), prediction["decision"].astype(bool)
        counts = Counts(marked(labels & decision), marked(decision), marked(labels))
        return {
            "accuracy": share((labels == decision).all(axis=1).astype(float)),
            "hamming_loss": share((labels != decision).mean(axis=1)),
            "precision_macro": counts.macro("precision", occurring=False),
            "recall_macro": counts.macro("recall", occurring=False),
            "f1_macro": counts.macro("f1", occurring=False),
            "precision_micro": counts.micro("precision"),
            "recall_micro": counts.micro("recall"),
            "f1_micro": counts.micro("f1"),
            "roc_auc": roc_auc(prediction["probabilities"], labels),
            "average_precision": average_precision(prediction["probabilities"], labels),
        }

    @staticmethod
    def headline(prior: Columns) -> str:
        """Average precision, which needs no threshold."""
        return "average_precision"

    @staticmethod
    def prior_decision(prior: Columns) -> Columns:
        """The labels that more than half of the training records have."""
        return {**prior, "decision": prior["probabilities"] > 0.5}

    @staticmethod
    def sample_loss(truth: Columns, prediction: Columns) -> np.ndarray:
        """Minus the log of the truth's probability, the mean over the labels."""
        probabilities = inside(prediction["probabilities"])
        return -np.log(np.where(truth["labels"].astype(bool), probabilities, 1 - probabilities)).mean(axis=1)

    @staticmethod
    def sample_score(truth: Columns, prediction: Columns) -> np.ndarray:
        """The share of labels that are right."""
        return (prediction["decision"].astype(bool) == truth["labels"].astype(bool)).mean(axis=1)

    @staticmethod
    def is_right(truth: Columns, prediction: Columns) -> np.ndarray:
        """Whether all labels are right."""
        return (prediction["decision"] == truth["labels"]).all(axis=1)

    @staticmethod
    def first_labels(prediction: Columns, count: int) -> Columns:
        """The first `count` labels."""
        return {key: values[:, :count] for key, values in prediction.items()}

    @staticmethod
    def per_class(truth: Columns, prediction: Columns) -> list[ClassScores]:
        """Each label."""
        return class_scores(truth["labels"].astype(bool), prediction["decision"].astype(bool))


def marked(marks: np.ndarray) -> csr_array:
    """The matrix [K, N] that sums the rows marked in each column of bool [N, K]."""
    return csr_array(marks.T.astype(np.float32))
