"""In which records one input decided: what the model says with it and without it, record by record."""

from typing import NamedTuple

import numpy as np

from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import exact_match


class Decided(NamedTuple):
    """Rows, from 0 among the scored records, in which an input decided; those in which it did so most come first.

    helped: right with the input and wrong without it; of a number, its error at least halved. hurt: the other way
    round. of: how many records have the target.
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
    right, wrong = (_good(scores, target, coalition) for coalition in ("all", rest))
    gain = scores.loss(target, rest) - scores.loss(target)
    rows = np.flatnonzero(scores.known(target))
    helped, hurt = np.flatnonzero(right & ~wrong), np.flatnonzero(wrong & ~right)
    if target.kind == "number":
        with_it, without = scores.loss(target), scores.loss(target, rest)  # squared
        helped, hurt = np.flatnonzero(with_it * 4 < without), np.flatnonzero(without * 4 < with_it)
    order = lambda places, sign: rows[places[np.argsort(-sign * gain[places], kind="stable")]]  # noqa: E731
    return Decided(name, order(helped, 1), order(hurt, -1), len(rows))


def _good(scores: SavedScores, target: SavedTarget, coalition: str) -> np.ndarray:
    """bool [M]: whether the decision is right; False throughout for a number."""
    truth, given = scores.truth(target), scores.prediction(target, coalition)["decision"]
    if target.kind == "number":
        return np.zeros(len(given), dtype=bool)
    if target.kind == "answer":
        return exact_match(truth, given) > 0
    return given == truth["label"] if target.kind == "class" else (given == truth["labels"]).all(axis=1)
