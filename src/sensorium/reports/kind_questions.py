"""What the report asks of a kind of target. Every decision by kind stands here, one function a question."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import exact_match, vqa_accuracy


class Calibration(NamedTuple):
    """Probabilities [S], how right each is [S], the record of each, int64 [S], and the plot's title and axis."""

    probability: np.ndarray
    correct: np.ndarray
    record: np.ndarray
    title: str
    x_name: str


def calibration_of(target: SavedTarget, scores: SavedScores) -> Calibration | None:
    """What the reliability of its probabilities is drawn from; None for a kind without probabilities."""
    if target.kind == "number":
        return None
    truth, prediction = scores.truth(target), scores.prediction(target)
    if target.kind == "labels":
        correct = truth["labels"]
        record = np.repeat(np.arange(len(correct)), len(target.labels))
        x_name = "probability of a label (upwards: share that have it)"
        return Calibration(
            prediction["probabilities"].ravel(), correct.ravel(), record, "calibration of all labels", x_name
        )
    if target.kind == "answer":
        probability, correct = prediction["probability"], vqa_accuracy(truth, prediction["decision"])
        x_name = "probability of the decision (upwards: its VQA accuracy)"
    else:
        probabilities = prediction["probabilities"]
        probability, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth["label"]
        x_name = "probability of the decision (upwards: share that is right)"
    return Calibration(probability, correct, np.arange(len(probability)), "calibration", x_name)


def scatter_of(target: SavedTarget, scores: SavedScores) -> tuple[np.ndarray, np.ndarray] | None:
    """True and decided values [M], which are drawn against each other; None for a kind that is not on a scale."""
    if target.kind != "number":
        return None
    return scores.truth(target)["value"], scores.prediction(target)["decision"]


def surest(scores: SavedScores, target: SavedTarget) -> np.ndarray:
    """int64: the rows, from 0 among the scored records, of the wrong decisions, the surest first."""
    rows = np.flatnonzero(scores.known(target))
    truth, prediction, loss = scores.truth(target), scores.prediction(target), scores.loss(target)
    decision = prediction["decision"]
    if target.kind == "number":
        wrong, sureness = np.ones(len(rows), dtype=bool), loss
    elif target.kind == "answer":
        wrong, sureness = exact_match(truth, decision) == 0, prediction["probability"]
    elif target.kind == "class":
        wrong, sureness = decision != truth["label"], prediction["probabilities"][np.arange(len(rows)), decision]
    else:
        wrong, sureness = (decision != truth["labels"]).any(axis=1), loss
    errors = np.flatnonzero(wrong)
    return rows[errors[np.argsort(-sureness[errors], kind="stable")]]


def errors_sentence(target: SavedTarget) -> str:
    """Which records `surest` gives, in which order."""
    return {
        "class": "Wrong decisions, the most probable first.",
        "labels": "The records with the largest loss among those that are not decided in full.",
        "number": "The records that are furthest off.",
        "answer": "Answers that most people did not give, the most probable first.",
    }[target.kind]


def effect_words(target: SavedTarget) -> tuple[str, str]:
    """How a record is called that an input helped, and one that it hurt."""
    if target.kind == "number":
        return "an error at least halved by it", "an error at least doubled by it"
    return "right only with it", "wrong only with it"


def grade(target: SavedTarget, decision: Any, truth: Any) -> str | None:
    """The class that a decision is coloured by: "yes" where it is right, "no" where it is wrong, None for a number."""
    if target.kind == "number":
        return None
    if target.kind == "answer":
        correct = decision in set(truth)
    else:
        correct = set(decision) == set(truth) if isinstance(decision, np.ndarray | list) else decision == truth
    return "yes" if correct else "no"


def probability_of(target: SavedTarget, record: pd.Series) -> float | None:
    """The probability of the decision of a row of the scores; None where the kind has no single one."""
    if target.kind == "class":
        return record[f"{target.name}_probability_{record[f'{target.name}_decision']}"]
    return record[f"{target.name}_probability"] if target.kind == "answer" else None


def subgroup_metric(target: SavedTarget, metric: str) -> str:
    """By which metric subgroups are compared, where `metric` is the target's headline."""
    # R² measures each subgroup against its own spread, so that a narrow one looks bad.
    return "neg_mean_absolute_error" if target.kind == "number" else metric
