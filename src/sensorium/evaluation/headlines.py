"""One figure a target, with its interval: what models that were trained otherwise are compared by."""

from collections.abc import Iterable
from typing import NamedTuple

from sensorium.data.table import Table
from sensorium.evaluation.scoring import score
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
    scores, found = score(model, batches, [inputs, ()]), {}
    for spec in model.schema.targets:
        known = scores.targets[spec.name]["mask"]
        if not known.any():
            continue
        truth, whole, prior = (
            {key: column[known] for key, column in columns[spec.name].items() if key != "mask"}
            for columns in (scores.targets, scores.predictions[inputs], scores.predictions[()])
        )
        groups = None if table.groups is None else table.groups[known]
        metric = headline(spec.kind, prior)
        drawn = Resamples(int(known.sum()), groups, seed=seed)
        found[spec.name] = Headline(metric, measure(spec.kind, truth, whole, prior, drawn)[metric])
    return found
