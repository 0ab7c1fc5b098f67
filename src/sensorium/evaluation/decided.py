"""In which records one input decided: what the model says with it and without it, record by record."""

from typing import NamedTuple

import numpy as np

from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import METRIC_KINDS


class Decided(NamedTuple):
    """Rows, from 0 among the scored records, in which an input decided; those in which it did so most come first.

    helped: right with the input and wrong without it; where decisions are not right or wrong, the error at least
    halved. hurt: the other way round. of: how many records have the target.
    """

    input: str
    helped: np.ndarray
    hurt: np.ndarray
    of: int


def decided(scores: SavedScores, target: SavedTarget, name: str, inputs: list[str]) -> Decided | None:
    """Where the input `name`, one of `inputs`, decided on `target`; None when there is no other, or it was not kept."""
    others = [one for one in inputs if one != name]
    rest = f"without {name}" if f"without {name}" in scores.by_coalition else f"only {others[0]}" if others else ""
    if (len(others) != 1 and rest.startswith("only")) or rest not in scores.by_coalition:
        return None
    gain = scores.loss(target, rest) - scores.loss(target)
    rows = np.flatnonzero(scores.known(target))
    helped, hurt = _changed_rows(scores, target, rest)
    order = lambda places, sign: rows[places[np.argsort(-sign * gain[places], kind="stable")]]  # noqa: E731
    return Decided(name, order(helped, 1), order(hurt, -1), len(rows))


def _changed_rows(scores: SavedScores, target: SavedTarget, rest: str) -> tuple[np.ndarray, np.ndarray]:
    """int64, among the records that have the target: those that all inputs help over the coalition `rest`, and those
    they hurt.
    """
    truth = scores.truth(target)
    right, right_without = (
        METRIC_KINDS[target.kind].is_right(truth, scores.prediction(target, coalition)) for coalition in ("all", rest)
    )
    if right is None or right_without is None:
        error, error_without = scores.loss(target), scores.loss(target, rest)  # squared
        return np.flatnonzero(error * 4 < error_without), np.flatnonzero(error_without * 4 < error)
    return np.flatnonzero(right & ~right_without), np.flatnonzero(right_without & ~right)
