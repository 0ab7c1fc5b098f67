"""All that an evaluation finds out about one target."""

from dataclasses import dataclass, field

import numpy as np

from sensorium.data.schema import TargetSpec
from sensorium.data.targets import TARGETS
from sensorium.evaluation.baselines import Baseline
from sensorium.evaluation.coalitions import Coalition
from sensorium.evaluation.inputs import Contributions, input_contributions, sentence
from sensorium.evaluation.subgroups import Subgroups
from sensorium.evaluation.verdict import Verdict, verdict
from sensorium.evaluation.written import Written
from sensorium.metrics import (
    METRIC_KINDS,
    ClassScores,
    Columns,
    Resamples,
    Value,
    finite,
    headline,
    measure,
    metrics,
    per_class,
    point,
)

SHUFFLES = 10


@dataclass(frozen=True)
class TargetReport:
    """One target: how many records have it, its metrics, the scores of each class, the confusion matrix, its inputs.

    classes: by label, {} for a number or an answer. confusion: int [K, K], truth by decision; None but for a class.
    units: of how many independent records, or groups of them. shuffled: the headline metric when truths change places,
    None for a kind without decisions. baselines: cheaper ways to a decision, by name. types: of
    questions and answers, by column; of an answer alone. written: how good the texts of a sample are; of a text alone.
    """

    target: TargetSpec
    records: int
    metrics: dict[str, Value]
    classes: dict[str, ClassScores]
    confusion: np.ndarray | None
    judgement: Contributions
    units: int
    shuffled: float | None
    baselines: dict[str, Baseline] = field(default_factory=dict)
    types: dict[str, Subgroups] = field(default_factory=dict)
    written: Written | None = None

    @property
    def metric(self) -> str:
        """The metric that the model is judged by: that of its inputs, or that of written texts."""
        return self.judgement.metric if self.written is None else self.written.metric

    @property
    def all_metrics(self) -> dict[str, Value]:
        """Every metric, those of written texts first."""
        return self.metrics if self.written is None else self.written.metrics | self.metrics

    @property
    def verdict(self) -> Verdict:
        """Whether the model is any good, by its metric."""
        units = self.units if self.written is None else self.written.units
        return verdict(self.metric, self.all_metrics[self.metric], units, self.baselines, self.shuffled)

    @property
    def sentence(self) -> str:
        """Which input earns its keep."""
        return sentence(self.judgement)


def report_target(
    target: TargetSpec, truth: Columns, predictions: dict[Coalition, Columns], inputs: Coalition, resamples: Resamples
) -> TargetReport:
    """The report of a target from the rows that have it: the truth, and what every coalition of `inputs` predicts."""
    prediction = predictions[inputs]
    class_scores = per_class(target.kind, truth, prediction)
    return TargetReport(
        target=target,
        records=resamples.rows,
        metrics=measure(target.kind, truth, prediction, predictions[()], resamples),
        classes=dict(zip(target.labels, class_scores, strict=True)) if class_scores else {},
        confusion=METRIC_KINDS[target.kind].confusion(truth, prediction),
        judgement=input_contributions(target.kind, truth, predictions, inputs, resamples),
        units=resamples.units,
        shuffled=shuffled_chance(target.kind, truth, prediction, predictions[()], resamples),
    )


def shuffled_chance(
    kind: str, truth: Columns, prediction: Columns, prior: Columns, resamples: Resamples
) -> float | None:
    """The headline metric when the truths change places, the mean over SHUFFLES; None for a kind without decisions.

    It is what decisions reach that know nothing of their record. Where classes are about equally frequent, the
    commonest of training may by luck be rare among few scored records, and always saying it too low a level.
    """
    if TARGETS[kind].scored_by == "loss":
        return None
    generator, metric, reached = np.random.default_rng(resamples.seed), headline(kind, prior), []
    for _ in range(SHUFFLES):
        order = generator.permutation(resamples.rows)
        moved = {key: values[order] for key, values in truth.items()}
        reached.append(point(metrics(kind, moved, prediction)[metric], resamples.rows))
    return finite(np.mean(reached))
