"""Precision, recall and F1 from counts by class, under row weights."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from sensorium.metrics.ranking import ratio
from sensorium.metrics.shares import Share


class Counts(NamedTuple):
    """Matrices [K, N] that sum the rows rightly decided, decided, and truly of each of K classes or labels."""

    hit: csr_array
    decided: csr_array
    true: csr_array

    def sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The weighted counts hit, decided and true, each [K, R], of weights [N, R]."""
        return self.hit @ weights, self.decided @ weights, self.true @ weights

    def balanced_accuracy(self, weights: np.ndarray) -> np.ndarray:
        """Recall averaged over the classes that occur among the truths."""
        hit, true = self.hit @ weights, self.true @ weights
        return np.divide(hit, true, out=np.zeros_like(hit), where=true > 0).sum(axis=0) / (true > 0).sum(axis=0)

    def macro(self, name: str, occurring: bool) -> Share:
        """Precision, recall or F1 (`name`) averaged over the classes that occur in truths or decisions, or over all."""

        def metric(weights: np.ndarray) -> np.ndarray:
            hit, decided, true = self.sums(weights)
            numerator, denominator = fraction(name, hit, decided, true)
            by_class = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
            used = (decided + true > 0) if occurring else np.ones_like(by_class, bool)
            return ratio(np.where(used, by_class, 0.0).sum(axis=0), used.sum(axis=0))

        return Share(metric)

    def micro(self, name: str) -> Share:
        """Precision, recall or F1 (`name`) of the counts summed over classes."""

        def metric(weights: np.ndarray) -> np.ndarray:
            totals = (counts.sum(axis=0, dtype=np.float64) for counts in self.sums(weights))
            numerator, denominator = fraction(name, *totals)
            return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)

        return Share(metric)


def fraction(name: str, hit: np.ndarray, decided: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numerator and the denominator of "precision", "recall" or "f1"; of counts of any one shape."""
    return {"precision": (hit, decided), "recall": (hit, true), "f1": (2 * hit, decided + true)}[name]
