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
from sensorium.evaluation.printing import between, columns
from sensorium.evaluation.scoring import Scores, score
from sensorium.metrics import METRIC_KINDS, Columns, Resamples, Value, distribution, finite, metrics, point, summary
from sensorium.model import Model


class Change(NamedTuple):
    """A metric before and after (None: undefined), and after - before with its 95 % interval over the same records."""

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
        table = columns(title, ["target", "metric", "before", "after", "difference", "95 % interval"], words=2)
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
    whole = tuple(spec.name for spec in before.schema.inputs)
    one, two = (score(model, model.batches(table), [whole]) for model in (before, after))
    targets = {}
    for spec in before.schema.targets:
        known = one.targets[spec.name]["mask"]
        if known.any():
            clusters = None if table.groups is None else table.groups[known]
            drawn = Resamples(int(known.sum()), clusters, resamples, seed)
            targets[spec.name] = _changes(spec, *(_known(scores, whole, spec, known) for scores in (one, two)), drawn)
    return Forgetting(part, len(table), targets)


def _known(scores: Scores, whole: tuple[str, ...], spec: TargetSpec, known: np.ndarray) -> tuple[Columns, Columns]:
    """Truth and prediction of the rows, bool [N], that have the target; of several labels the old ones."""
    truth = {key: values[known] for key, values in scores.targets[spec.name].items() if key != "mask"}
    predicted = {key: values[known] for key, values in scores.predictions[whole][spec.name].items()}
    return truth, METRIC_KINDS[spec.kind].first_labels(predicted, len(spec.labels))


def _changes(
    spec: TargetSpec, before: tuple[Columns, Columns], after: tuple[Columns, Columns], resamples: Resamples
) -> dict[str, Change]:
    old, new = metrics(spec.kind, *before), metrics(spec.kind, *after)
    wanted = METRIC_KINDS[spec.kind].forgetting
    both = {(side, name): known[name] for side, known in (("before", old), ("after", new)) for name in wanted}
    drawn = distribution(both, resamples)
    changes = {}
    for name in wanted:
        one, two = (point(known[name], resamples.rows) for known in (old, new))
        difference = summary(two - one, drawn["after", name] - drawn["before", name], resamples.units, 0.0)
        changes[name] = Change(finite(one), finite(two), difference)
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
