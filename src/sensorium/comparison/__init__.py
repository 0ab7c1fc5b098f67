"""Comparing: every way of fusing on the same folds, the same features and the same seeds."""

from sensorium.comparison.run import compare

__all__ = ["compare"]
