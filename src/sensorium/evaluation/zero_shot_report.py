"""evaluate_zero_shot: how well a model sorts labelled records by the names of their labels alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.errors import UserError, counted
from sensorium.evaluation.embedding import check_records, embed_once, narrowed
from sensorium.evaluation.notebook import Panels, Plot, figures_html, figures_text, plot
from sensorium.evaluation.printing import MOST_CLASSES_CROSSED, classes_table, confusion_table, metric_table
from sensorium.evaluation.report import MOST_CLASSES_SAVED
from sensorium.evaluation.saving import count_of_learned, learned_text, save, save_evaluation, text
from sensorium.evaluation.truth import truth_of
from sensorium.evaluation.zero_shot import ZeroShot
from sensorium.metrics import ClassScores, Columns, Resamples, Value, distribution, finite, measured, point, share
from sensorium.metrics.kinds.class_ import ClassMetrics
from sensorium.model import Model

TOP = 5
METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "expected_calibration_error")


@dataclass(frozen=True)
class ZeroShotReport:
    """Zero-shot classification of the `scored` of `records` records; print it, read it as a dictionary, save it.

    other: how many have a label that was not among those to choose from. bad: how many were set aside. confusion: int
    [K, K], truth by decision. samples: what becomes scores.parquet: key, group, <target>, <target>_decision,
    <target>_probability, that of the decision.
    """

    target: TargetSpec
    templates: int
    records: int
    scored: int
    other: int
    bad: int
    metrics: dict[str, Value]
    classes: dict[str, ClassScores]
    confusion: np.ndarray
    cost: dict[str, Any]
    samples: pa.Table
    learned: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds: plain values, None where something is undefined."""
        name, small = self.target.name, len(self.confusion) <= MOST_CLASSES_SAVED
        crossed = {name: {"labels": self.target.labels, "counts": self.confusion.tolist()}} if small else {}
        return {
            "zero_shot": {name: {metric: value._asdict() for metric, value in self.metrics.items()}},
            "templates": self.templates,
            "cost": self.cost,
            "classes": {name: {label: scores._asdict() for label, scores in self.classes.items()}},
            "confusion": crossed,
            "records": {"all": self.records, "targets": {name: self.scored}, "other": self.other, "bad": self.bad}
            | count_of_learned(self.learned),
        }

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = f"{self.target.name}, zero-shot: {counted(self.scored, 'record')}, {len(self.target.labels)} labels"
        yield metric_table(title, self.metrics)
        yield classes_table(self.target, self.classes)
        if len(self.confusion) <= MOST_CLASSES_CROSSED:
            yield confusion_table(self.target, self.confusion)
        yield Text(
            f"Each label in {counted(self.templates, 'template')}; chance is one answer for all, by the labels' shares."
        )
        not_scored = self.records - self.scored
        if not_scored:
            absent = not_scored - self.other
            yield Text(
                f"{counted(not_scored, 'record')} not scored: {self.other} have another label, {absent} lack the label"
                " or the input."
            )
        if self.bad:
            yield Text(f"{counted(self.bad, 'bad record')} {'was' if self.bad == 1 else 'were'} set aside.")
        yield from learned_text(self.learned, self.records)

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return figures_text("ZeroShotReport", self.scored, self._panels())

    def _repr_html_(self) -> str:
        return figures_html("ZeroShotReport", self.scored, self._panels(), [])

    def plot(self) -> Plot:
        """Its metrics, with intervals; a notebook shows it."""
        return plot(self._panels())

    def _panels(self) -> Panels:
        return {f"{self.target.name}, zero-shot": self.metrics}


def evaluate_zero_shot(
    model: Model,
    table: Table,
    target: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    templates: str | Path | Sequence[str] = "plain",
    input: str | None = None,
    text: str | None = None,
    *,
    out: str | Path | None = None,
    bad_records: str = "stop",
    seed: int = 0,
    resamples: int = 2000,
    precision: str = "fp32",
) -> ZeroShotReport:
    """How well `model` finds the label, in the column `target` of `table`, by its name: see ZeroShot for the options.

    labels: those to choose from, without it all that the column has; records with others are counted and not scored.
    out, bad_records, seed, resamples: as of `evaluate`. The chance level is that of a constant answer that knows the
    shares of the labels in the table. Raises UserError for a column that is not there or empty, and as ZeroShot does.
    """
    table = model.read(table)
    truth = truth_of(table, target)
    choices = sorted({value for value in truth if value}) if labels is None else labels
    shot = ZeroShot(model, choices, templates, input, text)
    shot.precision = precision
    readable = check_records(narrowed(table, [shot.input]), bad_records)
    truth = truth_of(readable.table, target)
    index_of = {label: index for index, label in enumerate(shot.labels)}
    label = np.array([index_of.get(value, -1) for value in truth], np.int64)
    rows = np.flatnonzero((label >= 0) & (readable.ids[shot.input] != 0))
    if not len(rows):
        raise UserError(
            f"No record of {table.source} has the input '{shot.input}' and one of the labels"
            f" {', '.join(shot.labels[:8])}; there is nothing to score: are they spelled alike?"
        )
    labelled, right = readable.table.take(rows), {"label": label[rows]}
    vectors = embed_once(model, labelled, shot.input, readable.ids[shot.input][rows], precision)
    probabilities = shot.probabilities(vectors)
    predicted = {"probabilities": probabilities, "decision": probabilities.argmax(axis=1)}
    spec = TargetSpec(name=target, kind="class", labels=shot.labels)
    report = ZeroShotReport(
        target=spec,
        templates=len(shot.templates),
        records=len(readable.table),
        scored=len(rows),
        other=sum(value is not None and value not in index_of for value in truth),
        bad=len({error.row for error in readable.bad}),
        metrics=label_metrics(right, predicted, Resamples(len(rows), labelled.groups, resamples, seed)),
        classes=dict(zip(shot.labels, ClassMetrics.per_class(right, predicted), strict=True)),
        confusion=ClassMetrics.confusion(right, predicted),
        cost={"parameters": sum(parameter.numel() for parameter in model.parameters())},
        samples=_samples(labelled, spec, right, predicted),
    )
    save_evaluation(report, readable.bad, out)
    return report


def label_metrics(truth: Columns, predicted: Columns, resamples: Resamples) -> dict[str, Value]:
    """The metrics of one class of K, and whether it is among the five most probable where there are more.

    truth: {"label": int [N]}; predicted: {"probabilities": float [N, K], "decision": int [N]}. The chance level is that
    of a constant answer that knows the shares of the labels.
    """
    count, classes = predicted["probabilities"].shape
    frequency = np.bincount(truth["label"], minlength=classes) / count
    prior = {"probabilities": np.broadcast_to(frequency, (count, classes))} | {
        "decision": np.full(count, frequency.argmax())
    }
    by_name, constant = (ClassMetrics.metrics(truth, columns) for columns in (predicted, prior))
    used = {name: by_name[name] for name in METRICS}
    levels = {name: finite(point(constant[name], count)) for name in METRICS} | {"expected_calibration_error": None}
    if classes > TOP:
        true_probability = predicted["probabilities"][np.arange(count), truth["label"]][:, None]
        above = (predicted["probabilities"] > true_probability).sum(axis=1)
        tied = (predicted["probabilities"] == true_probability).sum(axis=1)
        used[f"top_{TOP}_accuracy"] = share((above + (tied - 1) / 2 < TOP).astype(float))
        levels[f"top_{TOP}_accuracy"] = float(np.sort(frequency)[-TOP:].sum())
    drawn = distribution(used, resamples)
    return {name: measured(metric, drawn[name], resamples, levels[name]) for name, metric in used.items()}


def _samples(table: Table, spec: TargetSpec, truth: Columns, predicted: Columns) -> pa.Table:
    labels, groups = np.array(spec.labels, dtype=object), table.groups
    return pa.table(
        {
            "key": pa.array(table.keys, pa.string()),
            "group": pa.nulls(len(table), pa.string()) if groups is None else pa.array(groups, pa.string()),
            spec.name: pa.array(labels[truth["label"]], pa.string()),
            f"{spec.name}_decision": pa.array(labels[predicted["decision"]], pa.string()),
            f"{spec.name}_probability": pa.array(predicted["probabilities"].max(axis=1), pa.float32()),
        }
    )
