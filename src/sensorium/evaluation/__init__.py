"""Evaluation: how good a model is, and which of its inputs earns its keep."""

from sensorium.evaluation.coalitions import coalitions, shapley
from sensorium.evaluation.evaluate import evaluate
from sensorium.evaluation.report import Report
from sensorium.evaluation.scoring import Scores, latency, score

__all__ = ["Report", "Scores", "coalitions", "evaluate", "latency", "score", "shapley"]
