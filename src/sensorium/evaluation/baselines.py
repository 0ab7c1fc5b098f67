"""What answers are compared with: the usual answer to the question's text, and the model without the picture."""

from typing import NamedTuple

import numpy as np

from sensorium.data.schema import InputSpec, TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.answer_text import question_texts
from sensorium.evaluation.coalitions import Coalition
from sensorium.metrics import Columns, Resamples, Value, distribution, headline, metrics, point, summary

SEEN = ("image", "video")


class Baseline(NamedTuple):
    """An answer that was got more cheaply, by the headline metric.

    value: how good it is. above: how much better the model is, over the same resamples.
    """

    value: Value
    above: Value


def sightless(specs: list[InputSpec]) -> Coalition:
    """The inputs that are no pictures and no films, in order."""
    return tuple(spec.name for spec in specs if spec.modality not in SEEN)


def majority_answer(target: TargetSpec, table: Table, prior: np.ndarray) -> np.ndarray:
    """int64 [N], places: to each record's text the answer that training records have most; `prior`, int64 [N], where
    they do not have that text.
    """
    found = np.array([target.usual.get(text, -1) for text in question_texts(table)], dtype=np.int64)
    return np.where(found >= 0, found, prior)


def answer_baselines(
    target: TargetSpec, table: Table, truth: Columns, predictions: dict[Coalition, Columns], resamples: Resamples
) -> dict[str, Baseline]:
    """By name, what an answer is compared with on the records `table`, which have the target.

    commonest: `usual`. without_picture: what the model says when all pictures and films are taken away; left out when
    the model reads none.
    """
    specs, prior = table.schema.inputs, predictions[()]
    metric, whole = headline(target.kind, prior), tuple(spec.name for spec in specs)
    rivals = {"commonest": {"decision": majority_answer(target, table, prior["decision"])}}
    if sightless(specs) != whole:
        rivals["without_picture"] = predictions[sightless(specs)]
    each = {"": predictions[whole]} | rivals
    known = {name: metrics(target.kind, truth, one)[metric] for name, one in each.items()}
    drawn, at = distribution(known, resamples), {name: point(one, resamples.rows) for name, one in known.items()}
    return {
        name: Baseline(
            summary(at[name], drawn[name], resamples.units),
            summary(at[""] - at[name], drawn[""] - drawn[name], resamples.units),
        )
        for name in rivals
    }
