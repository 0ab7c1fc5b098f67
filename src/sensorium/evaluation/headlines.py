"""One figure a target, with its interval: what models that were trained otherwise are compared by."""

from collections.abc import Iterable
from typing import NamedTuple

from sensorium.data.table import Table
from sensorium.evaluation.scoring import rows_of, score
from sensorium.features import Batch
from sensorium.metrics import Resamples, Value, headline, measure
from sensorium.model import Model


class Headline(NamedTuple):
    """A target's headline metric, by name and with its interval."""

    metric: str
    value: Value


def headlines(model: Model, table: Table, batches: Iterable[Batch], seed: int = 0) -> dict[str, Headline]:
    """By target that any record of `table` has, its headline metric; `batches` are the records, in order."""
    inputs = tuple(spec.name for spec in model.schema.inputs)
    scores, by_target = score(model, batches, [inputs, ()]), {}
    for spec in model.schema.targets:
        has_target = scores.targets[spec.name]["mask"]
        if not has_target.any():
            continue
        truth, prediction, prior = (
            rows_of(columns[spec.name], has_target)
            for columns in (scores.targets, scores.predictions[inputs], scores.predictions[()])
        )
        groups = None if table.groups is None else table.groups[has_target]
        metric = headline(spec.kind, prior)
        drawn = Resamples(int(has_target.sum()), groups, seed=seed)
        by_target[spec.name] = Headline(metric, measure(spec.kind, truth, prediction, prior, drawn)[metric])
    return by_target
