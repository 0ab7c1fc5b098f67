"""Evaluation: how good a model is, and which of its inputs earns its keep."""

from sensorium.evaluation.coalitions import coalitions, shapley
from sensorium.evaluation.evaluate import evaluate
from sensorium.evaluation.report import Report
from sensorium.evaluation.retrieval import RetrievalReport, evaluate_retrieval
from sensorium.evaluation.scoring import Scores, latency, score
from sensorium.evaluation.tasks import evaluate_task
from sensorium.evaluation.zero_shot import ZeroShot

__all__ = [
    "Report",
    "RetrievalReport",
    "Scores",
    "ZeroShot",
    "coalitions",
    "evaluate",
    "evaluate_retrieval",
    "evaluate_task",
    "latency",
    "score",
    "shapley",
]
