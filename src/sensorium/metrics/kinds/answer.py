"""The metrics of a target that is an answer, given by several people."""

import numpy as np

from sensorium.metrics.kinds.base import (
    Columns,
    no_class_scores,
    no_confusion,
    same_metric,
    same_prediction,
    same_prior,
)
from sensorium.metrics.kinds.vqa import exact_match, vqa_accuracy
from sensorium.metrics.resampling import Metric
from sensorium.metrics.shares import share


class AnswerMetrics:
    """truth {"answers", "weight", "annotators"} as data.targets gives them, prediction {"decision": int [N]}, a
    position among the labels.
    """

    packages, extra = (), None
    signature = "vqa_accuracy"
    score_name = "VQA accuracy"
    forgetting = ("vqa_accuracy", "exact_match")
    subgroup_metric = staticmethod(same_metric)
    prior_decision = staticmethod(same_prior)
    first_labels = staticmethod(same_prediction)
    per_class = staticmethod(no_class_scores)
    confusion = staticmethod(no_confusion)

    @staticmethod
    def metrics(truth: Columns, prediction: Columns) -> dict[str, Metric]:
        """VQA accuracy and exact match; where one person answered, both are the share of right ones."""
        decision = prediction["decision"]
        return {
            "vqa_accuracy": share(vqa_accuracy(truth, decision)),
            "exact_match": share(exact_match(truth, decision)),
        }

    @staticmethod
    def headline(prior: Columns) -> str:
        """VQA accuracy."""
        return "vqa_accuracy"

    @staticmethod
    def sample_loss(truth: Columns, prediction: Columns) -> np.ndarray:
        """One minus the VQA accuracy."""
        return 1 - vqa_accuracy(truth, prediction["decision"])

    @staticmethod
    def sample_score(truth: Columns, prediction: Columns) -> np.ndarray:
        """The VQA accuracy."""
        return vqa_accuracy(truth, prediction["decision"])

    @staticmethod
    def is_right(truth: Columns, prediction: Columns) -> np.ndarray:
        """Whether it is an answer that most annotators gave."""
        return exact_match(truth, prediction["decision"]) > 0
