"""In which records one input decided: what the model decides with it and without it, record by record."""

from typing import NamedTuple

import numpy as np

from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import METRIC_KINDS


class Decided(NamedTuple):
    """Rows, from 0 among the scored records, in which an input decided; those in which it did so most come first.

    helped: right with the input and wrong without it; where decisions are not right or wrong, the error at least
    halved. hurt: the other way round. of: how many records have the target. without: the coalition of all other inputs,
    as scores.parquet names it.
    """

    input: str
    without: str
    helped: np.ndarray
    hurt: np.ndarray
    of: int


def decided(scores: SavedScores, target: SavedTarget, name: str, inputs: list[str]) -> Decided | None:
    """Where the input `name`, one of `inputs`, decided on `target`; None when there is no other, or it was not kept."""
    other_inputs = [input_name for input_name in inputs if input_name != name]
    coalition = f"without {name}"
    if coalition not in scores.by_coalition and len(other_inputs) == 1:
        coalition = f"only {other_inputs[0]}"  # of two inputs, one without the other is stored under this name
    if coalition not in scores.by_coalition:
        return None
    gain = scores.loss(target, coalition) - scores.loss(target)
    rows = np.flatnonzero(scores.known(target))
    helped, hurt = _changed_rows(scores, target, coalition)
    helped = helped[np.argsort(-gain[helped], kind="stable")]
    hurt = hurt[np.argsort(gain[hurt], kind="stable")]
    return Decided(name, coalition, rows[helped], rows[hurt], len(rows))


def _changed_rows(scores: SavedScores, target: SavedTarget, without: str) -> tuple[np.ndarray, np.ndarray]:
    """int64, among the records that have the target: those that all inputs help over the coalition `without`, and those
    they hurt.
    """
    truth = scores.truth(target)
    right, right_without = (
        METRIC_KINDS[target.kind].is_right(truth, scores.prediction(target, coalition))
        for coalition in ("all", without)
    )
    if right is None or right_without is None:
        error, error_without = scores.loss(target), scores.loss(target, without)  # squared
        return np.flatnonzero(error * 4 < error_without), np.flatnonzero(error_without * 4 < error)
    return np.flatnonzero(right & ~right_without), np.flatnonzero(right_without & ~right)
