"""What answers are compared with: the majority answer to the question's text, and the model without the picture."""

from typing import NamedTuple

import numpy as np

from sensorium.data.schema import InputSpec, TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.answer_text import question_texts
from sensorium.evaluation.coalitions import Coalition
from sensorium.metrics import Columns, Resamples, Value, distribution, headline, metrics, point, summary

VISUAL = ("image", "video")


class Baseline(NamedTuple):
    """A cheaper way to an answer, measured by the headline metric.

    value: how good it is. above: how much better the model is, over the same resamples.
    """

    value: Value
    above: Value


def non_visual_inputs(specs: list[InputSpec]) -> Coalition:
    """The inputs that are neither pictures nor films, in order."""
    return tuple(spec.name for spec in specs if spec.modality not in VISUAL)


def majority_answer(target: TargetSpec, table: Table, prior: np.ndarray) -> np.ndarray:
    """int64 [N], positions among the labels: for each record's text the most frequent answer of the training records;
    `prior`, int64 [N], for a text that they do not have.
    """
    answers = np.array([target.usual.get(text, -1) for text in question_texts(table)], dtype=np.int64)
    return np.where(answers >= 0, answers, prior)


def answer_baselines(
    target: TargetSpec, table: Table, truth: Columns, predictions: dict[Coalition, Columns], resamples: Resamples
) -> dict[str, Baseline]:
    """By name, what an answer is compared with on the records `table`, which have the target.

    commonest: `majority_answer`. without_picture: the model's decision without all pictures and films; left out when
    it reads none.
    """
    specs, prior = table.schema.inputs, predictions[()]
    metric, every_input = headline(target.kind, prior), tuple(spec.name for spec in specs)
    rivals = {"commonest": {"decision": majority_answer(target, table, prior["decision"])}}
    if non_visual_inputs(specs) != every_input:
        rivals["without_picture"] = predictions[non_visual_inputs(specs)]
    compared = {"": predictions[every_input]} | rivals
    by_rival = {name: metrics(target.kind, truth, prediction)[metric] for name, prediction in compared.items()}
    drawn = distribution(by_rival, resamples)
    estimates = {name: point(rival_metric, resamples.rows) for name, rival_metric in by_rival.items()}
    return {
        name: Baseline(
            summary(estimates[name], drawn[name], resamples.units),
            summary(estimates[""] - estimates[name], drawn[""] - drawn[name], resamples.units),
        )
        for name in rivals
    }
