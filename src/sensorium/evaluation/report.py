"""How good a model is and which input earns its keep: for a person to read, and for machines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult

from sensorium.evaluation import printing
from sensorium.evaluation.forgetting import Forgetting
from sensorium.evaluation.inputs import Contribution, Contributions
from sensorium.evaluation.question_types import COLUMNS
from sensorium.evaluation.saving import save, text
from sensorium.evaluation.subgroups import Subgroups
from sensorium.evaluation.target import TargetReport
from sensorium.metrics import Value

MOST_CLASSES_SAVED = 100


@dataclass(frozen=True)
class Report:
    """An evaluation of `records` records; print it, read it as a dictionary, save it.

    present: by input, how many records have it. bad: how many were set aside. samples: what becomes scores.parquet.
    forgetting: what a model that went on from another has lost of what that knew.
    """

    targets: list[TargetReport]
    records: int
    present: dict[str, int]
    bad: int
    cost: dict[str, Any]
    samples: pa.Table
    forgetting: Forgetting | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds: plain values, None where something is undefined."""
        return {
            "targets": {
                one.target.name: {key: _plain(value) for key, value in one.metrics.items()} for one in self.targets
            },
            "inputs": {one.target.name: _inputs(one.judgement) for one in self.targets},
            "baselines": {one.target.name: _baselines(one) for one in self.targets if one.baselines},
            **{f"{column}s": self._types_by(column) for column in COLUMNS},
            "cost": self.cost,
            "classes": {
                one.target.name: {label: scores._asdict() for label, scores in one.classes.items()}
                for one in self.targets
                if one.classes
            },
            "confusion": {
                one.target.name: {"labels": one.target.labels, "counts": one.confusion.tolist()}
                for one in self.targets
                if one.confusion is not None and len(one.confusion) <= MOST_CLASSES_SAVED
            },
            "records": {
                "all": self.records,
                "inputs": self.present,
                "targets": {one.target.name: one.records for one in self.targets},
                "bad": self.bad,
            },
            "sentences": {one.target.name: one.sentence for one in self.targets},
        } | ({} if self.forgetting is None else {"forgetting": self.forgetting.to_dict()})

    def _types_by(self, column: str) -> dict[str, Any]:
        return {one.target.name: _types(one.types[column]) for one in self.targets if column in one.types}

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for one in self.targets:
            yield from printing.target(one)
        yield from printing.records(self.targets, self.records, self.present, self.bad)
        yield printing.cost(self.cost)
        if self.forgetting is not None:
            yield self.forgetting

    def __str__(self) -> str:
        return text(self)


def _plain(value: Value) -> dict[str, float | None]:
    return value._asdict()


def _baselines(report: TargetReport) -> dict[str, Any]:
    """The metric and, by name, how good a baseline is and how much better the model."""
    return {"metric": report.judgement.metric} | {
        name: _between(one.value) | {"above": _between(one.above)} for name, one in report.baselines.items()
    }


def _types(found: Subgroups) -> dict[str, Any]:
    """The metric of each type, and the gap between the best and the worst."""
    each = {one.name: _between(one.value) | {"records": one.records} for one in found.groups}
    return {"metric": found.metric, "types": each, "gap": _between(found.gap), "p": found.p}


def _between(value: Value) -> dict[str, float | None]:
    return {"value": value.value, "low": value.low, "high": value.high}


def _inputs(judgement: Contributions) -> dict[str, Any]:
    return {"metric": judgement.metric} | {_key(name): _worth(worth) for name, worth in judgement.inputs.items()}


def _key(name: str) -> str:
    """An input's key beside "metric", which a column may be called too."""
    return "metric (input)" if name == "metric" else name


def _worth(worth: Contribution) -> dict[str, Any]:
    known = {"alone": worth.alone, "without": worth.without, "shapley": worth.shapley}
    return {name: _between(value) for name, value in known.items() if value is not None}
