"""What a model is compared with: the training prior, cheap models of some inputs, the model without pictures."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sensorium.data.schema import InputSpec, TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.answer_text import question_texts
from sensorium.evaluation.baseline_models import BaselineModel, TrainingRecords
from sensorium.evaluation.coalitions import Coalition
from sensorium.evaluation.rivals import Training, Trial, rivals
from sensorium.metrics import (
    METRIC_KINDS,
    Columns,
    Metric,
    Resamples,
    Value,
    distribution,
    headline,
    measured,
    metrics,
    point,
    summary,
)

VISUAL = ("image", "video")


class Baseline(NamedTuple):
    """A cheaper way to a decision, measured by the headline metric.

    value: how good it is. above: how much better the model is, over the same resamples. is_part: whether the model has
    an expert of the same kind and inputs.
    """

    value: Value
    above: Value
    is_part: bool = False


class Scored(NamedTuple):
    """The records that have a target: their `table`, the `truth`, what the model predicts from each set of inputs."""

    target: TargetSpec
    table: Table
    truth: Columns
    predictions: dict[Coalition, Columns]
    resamples: Resamples

    def metric(self, prediction: Columns) -> Metric:
        """The headline metric of a prediction for these records."""
        return metrics(self.target.kind, self.truth, prediction)[headline(self.target.kind, self.predictions[()])]

    def compare(self, rivals: dict[str, Metric]) -> dict[str, Baseline]:
        """The model from every input beside its rivals, by name their metric."""
        every_input = tuple(spec.name for spec in self.table.schema.inputs)
        return compare_metrics(self.metric(self.predictions[every_input]), rivals, self.resamples)


def compare_metrics(metric: Metric, rivals: dict[str, Metric], resamples: Resamples) -> dict[str, Baseline]:
    """A model's `metric` beside that of its rivals, by name, over the same resamples."""
    by_rival = {"": metric} | rivals
    drawn = distribution(by_rival, resamples)
    estimates = {name: point(of_rival, resamples.rows) for name, of_rival in by_rival.items()}
    return {
        name: Baseline(
            measured(by_rival[name], drawn[name], resamples),
            summary(estimates[""] - estimates[name], drawn[""] - drawn[name], resamples.units),
        )
        for name in rivals
    }


Compare = Callable[[Scored, Training | None], dict[str, Baseline]]
"""The scored records, and what was learned from where it is at hand -> the baselines by name."""


def non_visual_inputs(specs: list[InputSpec]) -> Coalition:
    """The inputs that are neither pictures nor films, in order."""
    return tuple(spec.name for spec in specs if spec.modality not in VISUAL)


def majority_answer(target: TargetSpec, table: Table, prior: np.ndarray) -> np.ndarray:
    """int64 [N], positions among the labels: for each record's text the most frequent answer of the training records;
    `prior`, int64 [N], for a text that they do not have.
    """
    answers = np.array([target.usual.get(text, -1) for text in question_texts(table)], dtype=np.int64)
    return np.where(answers >= 0, answers, prior)


def answer_baselines(scored: Scored, training: Training | None) -> dict[str, Baseline]:
    """`commonest`: `majority_answer`. `without_picture`: the model's decision without all pictures and films; left out
    when it reads none.
    """
    specs = scored.table.schema.inputs
    prior = scored.predictions[()]["decision"]
    rivals = {"commonest": scored.metric({"decision": majority_answer(scored.target, scored.table, prior)})}
    if non_visual_inputs(specs) != tuple(spec.name for spec in specs):
        rivals["without_picture"] = scored.metric(scored.predictions[non_visual_inputs(specs)])
    return scored.compare(rivals)


class LearnedBaselines(NamedTuple):
    """The training prior, and cheap models of `model`'s kind, learned from the training records: `rivals`. A baseline
    that cannot be fitted is left out with a warning.
    """

    model: type[BaselineModel]

    def __call__(self, scored: Scored, training: Training | None) -> dict[str, Baseline]:
        """As Compare says."""
        target, seed = scored.target, scored.resamples.seed
        prior = METRIC_KINDS[target.kind].prior_decision(scored.predictions[()])
        by_name, parts = {self.model.constant: scored.metric(prior)}, set()
        if training is not None:
            records = TrainingRecords.of(training.table, target, seed)
            trial = Trial(self.model, target, records, scored.table, headline(target.kind, prior), seed)
            for rival in rivals(trial, training):
                try:
                    by_name[rival.name] = scored.metric(rival.predict())
                except Exception as error:  # no baseline ends a run
                    message = f"'{target.name}' has no baseline '{rival.name}': {error}"
                    warnings.warn(message, UserWarning, stacklevel=2)
                if rival.is_part_of(training.model, target.name):
                    parts.add(rival.name)
        return {name: baseline._replace(is_part=name in parts) for name, baseline in scored.compare(by_name).items()}
