"""How a model does when one of its inputs is spoiled, more and more."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from sensorium.data.records import Records
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions import Corrupted, Corruption, corruptions
from sensorium.features import Batch, Features
from sensorium.metrics import Columns, Resamples, Value, distribution, metrics, point, summary
from sensorium.model import Model

RECORDS, BATCH = 150, 32
RESAMPLES = 1000
Predictions = dict[str, Columns]


class Curve(NamedTuple):
    """A metric of a target at rising strengths of one corruption of one input; the first is the input as it is.

    unit: of the strengths, which are as a reader reads them. without: the metric when the input is taken away.
    records: how many, all of which have the input and the target.
    """

    target: str
    input: str
    corruption: str
    unit: str
    metric: str
    strengths: list[str]
    values: list[Value]
    without: Value
    records: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        known = self._asdict()
        return known | {"values": [one._asdict() for one in self.values], "without": self.without._asdict()}


class _Trial(NamedTuple):
    """One input in one state: spoiled in a way (None: taken away), by how much (0 of five: as it is)."""

    input: str
    corruption: str | None
    step: int


def robustness(
    model: Model,
    table: Table,
    metric_of: dict[str, str],
    seed: int = 0,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Curve]:
    """A curve for each target, input and corruption, on at most RECORDS records of `table`, drawn by `seed`.

    metric_of: by target, the metric. advance: is told how many trials of a batch are done; there are `trials` of them.
    The model is left in evaluation mode. Raises UserError for a file that cannot be read.
    """
    table = table.take(_drawn(len(table), seed))
    model.eval()
    ways = [(spec, way) for spec in model.schema.inputs for way in corruptions(spec, table)]
    truths, present, found = [], [], {}
    for start in range(0, len(table), BATCH):
        part = table.take(np.arange(start, min(start + BATCH, len(table))))
        batch, features = _encoded(model, part)
        truths.append({name: {key: one.numpy() for key, one in columns.items()} for name, columns in batch})
        present.append({name: one.present.cpu().numpy() for name, one in features.items()})
        for trial, decided in _trials(model, part, ways, features, advance):
            found.setdefault(trial, []).append(decided)
    stacked = {trial: {name: _stack([one[name] for one in each]) for name in each[0]} for trial, each in found.items()}
    truth = {name: _stack([one[name] for one in truths]) for name in truths[0]}
    has = {name: np.concatenate([one[name] for one in present]) for name in present[0]}
    curves = [
        _curve(target, spec, way, metric_of[target.name], (truth[target.name], stacked), has[spec.name], table, seed)
        for target in model.schema.targets
        if target.name in truth and target.name in metric_of
        for spec, way in ways
    ]
    return [curve for curve in curves if curve is not None]


def trials(model: Model, table: Table) -> int:
    """How many times `robustness` will call `advance` with 1."""
    each = sum(1 + 5 * len(corruptions(spec, table)) for spec in model.schema.inputs)
    return each * -(-min(len(table), RECORDS) // BATCH)


def _drawn(count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(count)[:RECORDS])


@torch.no_grad()
def _encoded(model: Model, part: Table) -> tuple[list[tuple[str, dict[str, torch.Tensor]]], dict[str, Features]]:
    batch: Batch = next(iter(model.batches(part, batch_size=BATCH)))
    return [(name, {k: v.cpu() for k, v in one.items()}) for name, one in batch.targets.items()], model.encode(
        batch.inputs
    )


@torch.no_grad()
def _trials(
    model: Model,
    part: Table,
    ways: list[tuple[InputSpec, Corruption]],
    features: dict[str, Features],
    advance: Callable[[int], None],
):
    """Each trial with what the model decides in it; only the spoiled input is encoded anew."""
    whole = _decided(model, features)
    rows = np.arange(len(part))
    for name, one in features.items():
        gone = features | {name: one.where(torch.zeros_like(one.present))}
        yield _Trial(name, None, 0), _decided(model, gone)
        advance(1)
    for spec, way in ways:
        yield _Trial(spec.name, way.name, 0), whole
        for step, (_, strength) in enumerate(way.strengths, start=1):
            processor = Corrupted(model.processors[spec.name], way, strength)
            inputs = Records(part, {spec.name: processor}).batch(rows).to(model.device).inputs
            yield _Trial(spec.name, way.name, step), _decided(model, features | model.encode(inputs))
            advance(1)


def _decided(model: Model, features: dict[str, Features]) -> Predictions:
    return {
        name: {
            key: one.float().cpu().numpy() if one.is_floating_point() else one.cpu().numpy() for key, one in t.items()
        }
        for name, t in model.decide(model.fuse(features)).items()
    }


def _stack(parts: list[Columns]) -> Columns:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _curve(
    target: Any,
    spec: InputSpec,
    way: Corruption,
    metric: str,
    known: tuple[Columns, dict[_Trial, Predictions]],
    has: np.ndarray,
    table: Table,
    seed: int,
) -> Curve | None:
    truth, found = known
    rows = truth["mask"].astype(bool) & has
    if not rows.any():
        return None
    true = {key: one[rows] for key, one in truth.items() if key != "mask"}
    steps = [_Trial(spec.name, way.name, step) for step in range(len(way.strengths) + 1)]
    each = {}
    for trial in [*steps, _Trial(spec.name, None, 0)]:
        given = {key: one[rows] for key, one in found[trial][target.name].items()}
        each[trial] = metrics(target.kind, true, given)[metric]
    clusters = None if table.groups is None else table.groups[rows]
    resamples = Resamples(int(rows.sum()), clusters, RESAMPLES, seed)
    drawn = distribution(each, resamples)
    values = {trial: summary(point(one, resamples.rows), drawn[trial], resamples.units) for trial, one in each.items()}
    *spoiled, gone = values.values()
    names = ["as it is", *(label for label, _ in way.strengths)]
    return Curve(target.name, spec.name, way.name, way.unit, metric, names, spoiled, gone, resamples.rows)
