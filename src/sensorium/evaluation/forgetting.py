"""What a model that went on with new records has lost: old held-out records, scored before and after."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between, titled_table
from sensorium.evaluation.scoring import Scores, rows_of, score
from sensorium.metrics import (
    INTERVAL,
    METRIC_KINDS,
    Columns,
    Resamples,
    Value,
    distribution,
    finite,
    metrics,
    point,
    summary,
)
from sensorium.model import Model


class Change(NamedTuple):
    """A metric before and after (None: undefined), and after - before with its interval over the same records."""

    before: float | None
    after: float | None
    difference: Value


@dataclass(frozen=True)
class Forgetting:
    """Changes by target and metric on `records` old records of the `part` that was held out, "test" or "validation"."""

    part: str
    records: int
    targets: dict[str, dict[str, Change]]

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds under `forgetting`."""
        return {"part": self.part, "records": self.records} | {
            "targets": {
                name: {metric: _plain(change) for metric, change in changes.items()}
                for name, changes in self.targets.items()
            }
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = f"What it knew: {counted(self.records, f'old {self.part} record')} before and after"
        table = titled_table(title, ["target", "metric", "before", "after", "difference", INTERVAL], words=2)
        for name, changes in self.targets.items():
            for metric, change in changes.items():
                cells = [
                    format_number(change.before),
                    format_number(change.after),
                    format_number(change.difference.value),
                ]
                table.add_row(Text(name), metric, *cells, between(change.difference))
        yield table
        for name, changes in self.targets.items():
            yield Text(_sentence(name, *next(iter(changes.items())), self.part), style="bold")
        yield Text()


def forgetting(
    before: Model, after: Model, table: Table, part: str, seed: int = 0, resamples: int = 2000
) -> Forgetting:
    """Scores both models on `table`, read with the schema of `before`: old records that neither has learned from.

    Classes that only `after` knows are wrong decisions here; labels that only it knows are left out. Raises UserError
    for a file that cannot be read.
    """
    inputs = tuple(spec.name for spec in before.schema.inputs)
    old_scores, new_scores = (score(model, model.batches(table), [inputs]) for model in (before, after))
    targets = {}
    for spec in before.schema.targets:
        has_target = old_scores.targets[spec.name]["mask"]
        if has_target.any():
            clusters = None if table.groups is None else table.groups[has_target]
            drawn = Resamples(int(has_target.sum()), clusters, resamples, seed)
            old, new = (_labelled_columns(scores, inputs, spec, has_target) for scores in (old_scores, new_scores))
            targets[spec.name] = _changes(spec, old, new, drawn)
    return Forgetting(part, len(table), targets)


def _labelled_columns(
    scores: Scores, inputs: tuple[str, ...], spec: TargetSpec, has_target: np.ndarray
) -> tuple[Columns, Columns]:
    """Truth and prediction of the rows, bool [N], that have the target; of several labels the old ones."""
    truth = rows_of(scores.targets[spec.name], has_target)
    predicted = rows_of(scores.predictions[inputs][spec.name], has_target)
    return truth, METRIC_KINDS[spec.kind].first_labels(predicted, len(spec.labels))


def _changes(
    spec: TargetSpec, before: tuple[Columns, Columns], after: tuple[Columns, Columns], resamples: Resamples
) -> dict[str, Change]:
    old, new = metrics(spec.kind, *before), metrics(spec.kind, *after)
    names = METRIC_KINDS[spec.kind].forgetting
    by_side = {(side, name): by_name[name] for side, by_name in (("before", old), ("after", new)) for name in names}
    drawn = distribution(by_side, resamples)
    changes = {}
    for name in names:
        old_value, new_value = (point(by_name[name], resamples.rows) for by_name in (old, new))
        difference = summary(new_value - old_value, drawn["after", name] - drawn["before", name], resamples.units, 0.0)
        changes[name] = Change(finite(old_value), finite(new_value), difference)
    return changes


def _plain(change: Change) -> dict[str, Any]:
    difference = {name: getattr(change.difference, name) for name in ("value", "low", "high")}
    return {"before": change.before, "after": change.after, "difference": difference}


def _sentence(name: str, metric: str, change: Change, part: str) -> str:
    low, high = change.difference.low, change.difference.high
    moved = f"from {format_number(change.before)} to {format_number(change.after)} on the old {part} records"
    if high is not None and high < 0:
        return f"'{name}' was forgotten in part: {metric} fell {moved}."
    if low is not None and low > 0:
        return f"'{name}' gained: {metric} rose {moved}."
    return f"'{name}' shows no loss that could be measured: {metric} went {moved}."
