"""How good a model is and which input earns its keep: for a person to read, and for machines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sensorium.evaluation import printing
from sensorium.evaluation.brief import target_lines
from sensorium.evaluation.forgetting import Forgetting
from sensorium.evaluation.inputs import Contribution, Contributions
from sensorium.evaluation.notebook import Panels, Plot, figures_html, figures_text, plot
from sensorium.evaluation.question_types import COLUMNS
from sensorium.evaluation.saving import count_of_learned, learned_text, save, text
from sensorium.evaluation.subgroups import Subgroups
from sensorium.evaluation.target import TargetReport
from sensorium.metrics import Value

MOST_CLASSES_SAVED = 100


@dataclass(frozen=True)
class Report:
    """An evaluation of `records` records; print it, read it as a dictionary, save it.

    present: by input, how many records have it. bad: how many were set aside. samples: what becomes scores.parquet.
    forgetting: what a model that was trained further has lost of what it knew. learned: how many of the records the
    model learned from, by their inputs; None where it does not say.
    """

    targets: list[TargetReport]
    records: int
    present: dict[str, int]
    bad: int
    cost: dict[str, Any]
    samples: pa.Table
    forgetting: Forgetting | None = None
    learned: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds: plain values, None where something is undefined."""
        return {
            "targets": {
                report.target.name: {key: value._asdict() for key, value in report.all_metrics.items()}
                for report in self.targets
            },
            "inputs": {report.target.name: _inputs(report.judgement) for report in self.targets},
            "baselines": {report.target.name: _baselines(report) for report in self.targets if report.baselines},
            **{f"{column}s": self._types_by(column) for column in COLUMNS},
            **self._written(),
            "cost": self.cost,
            "classes": {
                report.target.name: {label: scores._asdict() for label, scores in report.classes.items()}
                for report in self.targets
                if report.classes
            },
            "confusion": {
                report.target.name: {"labels": report.target.labels, "counts": report.confusion.tolist()}
                for report in self.targets
                if report.confusion is not None and len(report.confusion) <= MOST_CLASSES_SAVED
            },
            "records": {
                "all": self.records,
                "inputs": self.present,
                "targets": {report.target.name: report.records for report in self.targets},
                "bad": self.bad,
                **count_of_learned(self.learned),
            },
            "verdicts": {report.target.name: report.verdict._asdict() for report in self.targets},
            "sentences": {report.target.name: report.sentence for report in self.targets},
        } | ({} if self.forgetting is None else {"forgetting": self.forgetting.to_dict()})

    def _written(self) -> dict[str, Any]:
        written = {report.target.name: report.written for report in self.targets if report.written is not None}
        return {"written": {name: texts.to_dict() for name, texts in written.items()}} if written else {}

    def _types_by(self, column: str) -> dict[str, Any]:
        return {report.target.name: _types(report.types[column]) for report in self.targets if column in report.types}

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def brief(self) -> list[str]:
        """How good the model is, in a few lines."""
        return [line for report in self.targets for line in target_lines(report)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for report in self.targets:
            yield Text(f"{report.target.name}: {report.verdict.sentence}\n", style="bold")
            yield from printing.target_tables(report)
        yield from printing.records_table(self.targets, self.records, self.present, self.bad)
        yield printing.cost_text(self.cost)
        if self.forgetting is not None:
            yield self.forgetting
        yield from learned_text(self.learned, self.records)

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return figures_text("Report", self.records, self._panels())

    def _repr_html_(self) -> str:
        return figures_html("Report", self.records, self._panels(), [report.sentence for report in self.targets])

    def plot(self) -> Plot:
        """Each target's main metric with all inputs, without each and with each alone; a notebook shows it."""
        return plot(self._panels())

    def _panels(self) -> Panels:
        return {
            f"{report.target.name}, {report.judgement.metric.replace('_', ' ')}": _panel(report)
            for report in self.targets
        }


def _panel(report: TargetReport) -> dict[str, Value]:
    """The main metric of a target with all inputs, without each, and with each alone."""
    judgement = report.judgement
    values = {"all inputs": report.metrics.get(judgement.metric, judgement.all)}
    if len(judgement.inputs) > 1:
        values |= {f"without {name}": worth.without for name, worth in judgement.inputs.items()}
        values |= {f"{name} alone": worth.alone for name, worth in judgement.inputs.items()}
    return values


def _baselines(report: TargetReport) -> dict[str, Any]:
    """The metric and, by name, how good a baseline is and how much better the model."""
    return {"metric": report.metric} | {
        name: _between(baseline.value) | {"above": _between(baseline.above)}
        for name, baseline in report.baselines.items()
    }


def _types(subgroups: Subgroups) -> dict[str, Any]:
    """The metric of each type, and the gap between the best and the worst."""
    by_group = {group.name: _between(group.value) | {"records": group.records} for group in subgroups.groups}
    return {"metric": subgroups.metric, "types": by_group, "gap": _between(subgroups.gap), "p": subgroups.p}


def _between(value: Value) -> dict[str, float | None]:
    return {"value": value.value, "low": value.low, "high": value.high}


def _inputs(contributions: Contributions) -> dict[str, Any]:
    return {"metric": contributions.metric} | {
        _input_key(name): _contribution(contribution) for name, contribution in contributions.inputs.items()
    }


def _input_key(name: str) -> str:
    """An input's key beside "metric", which a column may be called too."""
    return "metric (input)" if name == "metric" else name


def _contribution(contribution: Contribution) -> dict[str, Any]:
    values = {"alone": contribution.alone, "without": contribution.without, "shapley": contribution.shapley}
    return {name: _between(value) for name, value in values.items() if value is not None}
