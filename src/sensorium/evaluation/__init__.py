"""Evaluation: how good a model is, and which of its inputs earns its keep."""

from sensorium.evaluation.coalitions import coalitions, shapley
from sensorium.evaluation.report import Report
from sensorium.evaluation.retrieval import RetrievalReport, evaluate_retrieval
from sensorium.evaluation.scoring import Scores, latency, score
from sensorium.evaluation.targets import evaluate_targets
from sensorium.evaluation.zero_shot import ZeroShot

__all__ = [
    "Report",
    "RetrievalReport",
    "Scores",
    "ZeroShot",
    "coalitions",
    "evaluate_retrieval",
    "evaluate_targets",
    "latency",
    "score",
    "shapley",
]
