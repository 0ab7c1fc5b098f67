"""Precision, recall and F1 from counts by class, under row weights."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from sensorium.metrics.ranking import ratio
from sensorium.metrics.resampling import Metric


class Counts(NamedTuple):
    """Matrices [K, N] that sum the rows rightly given, given, and truly of each of K classes or labels."""

    hit: csr_array
    given: csr_array
    true: csr_array

    def sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The weighted counts hit, given and true, each [K, R], of weights [N, R]."""
        return self.hit @ weights, self.given @ weights, self.true @ weights

    def balanced_accuracy(self, weights: np.ndarray) -> np.ndarray:
        """Recall averaged over the classes that occur among the truths."""
        hit, true = self.hit @ weights, self.true @ weights
        return np.divide(hit, true, out=np.zeros_like(hit), where=true > 0).sum(axis=0) / (true > 0).sum(axis=0)

    def macro(self, name: str, occurring: bool) -> Metric:
        """Precision, recall or F1 (`name`) averaged over the classes that occur in truths or decisions, or over all."""

        def metric(weights: np.ndarray) -> np.ndarray:
            hit, given, true = self.sums(weights)
            part, whole = fraction(name, hit, given, true)
            each = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
            used = (given + true > 0) if occurring else np.ones_like(each, bool)
            return ratio(np.where(used, each, 0.0).sum(axis=0), used.sum(axis=0))

        return metric

    def micro(self, name: str) -> Metric:
        """Precision, recall or F1 (`name`) of the counts summed over classes."""

        def metric(weights: np.ndarray) -> np.ndarray:
            part, whole = fraction(name, *(counts.sum(axis=0, dtype=np.float64) for counts in self.sums(weights)))
            return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

        return metric


def fraction(name: str, hit: np.ndarray, given: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numerator and the denominator of "precision", "recall" or "f1"; of counts of any one shape."""
    return {"precision": (hit, given), "recall": (hit, true), "f1": (2 * hit, given + true)}[name]
