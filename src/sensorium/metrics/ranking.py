"""Metrics of order, exact with ties and under row weights: ROC-AUC, average precision, Spearman's correlation."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from sensorium.metrics.resampling import Metric
from sensorium.metrics.shares import Share


class Ranked(NamedTuple):
    """Rows in falling order of score, cut where a metric needs a sum.

    A segment is either the rows of one score, some of them positive, or a run of scores without any positive. Only the
    weights of whole segments matter, so that the work after the first sum grows with the positives alone.
    every:    [segments, N], sums the weights of each segment.
    positive: [segments with positives, N], sums the weights of the positives in each.
    where:    int [segments with positives], which segments those are.
    """

    every: csr_array
    positive: csr_array
    where: np.ndarray


def members(group: np.ndarray, count: int, keep: np.ndarray | None = None) -> csr_array:
    """The matrix [count, N] that sums rows by their group, int [N]; only the rows where `keep`, bool [N], is True."""
    rows = np.arange(len(group)) if keep is None else np.flatnonzero(keep)
    return csr_array((np.ones(len(rows), np.float32), (group[rows], rows)), shape=(count, len(group)))


def ranked(score: np.ndarray, positive: np.ndarray) -> Ranked:
    """Cuts rows of score [N] and truth bool [N]; at least one is positive."""
    group = np.unique(-score, return_inverse=True)[1]  # highest score first, ties together
    count = int(group.max()) + 1
    has_positive = np.bincount(group[positive], minlength=count) > 0
    starts = has_positive | np.roll(has_positive, 1)
    starts[0] = False
    segment = np.cumsum(starts)
    where = segment[has_positive]
    positive_segment = np.cumsum(has_positive)[group] - 1
    return Ranked(members(segment[group], int(segment[-1]) + 1), members(positive_segment, len(where), positive), where)


def cuts(scores: np.ndarray, positive: np.ndarray) -> Callable[[], list[Ranked]]:
    """The columns of scores and truths [N, K], each cut; made when first asked for, as the sorting costs."""
    return functools.cache(lambda: [ranked(score, truth) for score, truth in zip(scores.T, positive.T, strict=True)])


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> Share:
    """Area under the ROC curve of each column, averaged over the columns; a tie counts one half.

    scores: float [N, K]; positive: bool [N, K]. Scikit-learn's `roc_auc_score`. A column whose rows are all positive or
    all negative has no such area and is left out of the average; when all are, the metric is undefined.
    """
    usable = positive.any(axis=0) & ~positive.all(axis=0)
    columns = cuts(scores[:, usable], positive[:, usable])

    def area(cut: Ranked, weights: np.ndarray) -> np.ndarray:
        weight, positive_weight = cut.every @ weights, cut.positive @ weights
        above, hits = np.cumsum(weight, axis=0), np.cumsum(positive_weight, axis=0)
        negatives = above[-1] - hits[-1]
        upto = above[cut.where] - hits  # the negatives of this score and of higher ones
        below = negatives - upto + (weight[cut.where] - positive_weight) / 2
        return ratio(np.einsum("sr,sr->r", positive_weight, below), hits[-1].astype(np.float64) * negatives)

    return Share(lambda weights: average([area(cut, weights) for cut in columns()], weights))


def average_precision(scores: np.ndarray, positive: np.ndarray) -> Share:
    """Average precision of each column, averaged over the columns.

    scores: float [N, K]; positive: bool [N, K]. Scikit-learn's `average_precision_score`, but for a column without a
    positive row, which it counts as zero, blaming the model for what the rows lack: here it is left out of the average.
    When all are, the metric is undefined.
    """
    usable = positive.any(axis=0)
    columns = cuts(scores[:, usable], positive[:, usable])

    def area(cut: Ranked, weights: np.ndarray) -> np.ndarray:
        above = np.cumsum(cut.every @ weights, axis=0)[cut.where]
        positive_weight = cut.positive @ weights
        hits = np.cumsum(positive_weight, axis=0)
        precision = np.divide(hits, above, out=np.zeros_like(hits), where=above > 0)
        return ratio(np.einsum("sr,sr->r", precision, positive_weight), hits[-1])

    return Share(lambda weights: average([area(cut, weights) for cut in columns()], weights))


def spearman(truth: np.ndarray, prediction: np.ndarray) -> Metric:
    """Spearman's rank correlation of two columns [N], undefined when either is constant.

    SciPy's `spearmanr`: ties share their mean rank.
    """
    sides = [np.unique(column, return_inverse=True)[1] for column in (truth, prediction)]
    groups = [(members(side, int(side.max()) + 1), side) for side in sides]

    def metric(weights: np.ndarray) -> np.ndarray:
        ranks, spreads = [], []
        for group, side in groups:
            tied = group @ weights
            cumulative = np.cumsum(tied, axis=0)
            # The mean rank of a tie, centred, as a share of the rows.
            middle = (cumulative - tied / 2) / cumulative[-1] - 0.5
            ranks.append(middle[side])
            spreads.append(np.einsum("gr,gr,gr->r", tied, middle, middle))
        covariance = np.einsum("nr,nr,nr->r", weights, *ranks)
        return ratio(covariance, np.sqrt(spreads[0].astype(np.float64) * spreads[1]))

    return metric


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, float64 [R], NaN where the denominator is not above zero."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def average(columns: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The mean over columns, each [R], of those defined in each resample of weights [N, R]; NaN where none is."""
    if not columns:
        return np.full(weights.shape[1], np.nan)
    stacked = np.stack(columns)  # [columns, R]
    defined = np.isfinite(stacked)
    return ratio(np.where(defined, stacked, 0.0).sum(axis=0), defined.sum(axis=0))
