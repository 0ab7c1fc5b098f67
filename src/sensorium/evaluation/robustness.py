"""How a model does when one of its inputs is corrupted, more and more."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sensorium.data.records import Records
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions import Corrupted, Corruption, corruptions
from sensorium.evaluation.scoring import arrays, predict_targets, rows_of, stack
from sensorium.experts.views import with_views
from sensorium.features import Batch, Features
from sensorium.metrics import Columns, Resamples, Value, distribution, measured, metrics
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
        plain = self._asdict()
        return plain | {"values": [value._asdict() for value in self.values], "without": self.without._asdict()}


class _Trial(NamedTuple):
    """One input in one state: corrupted in a way (None: taken away), by how much (0 of five: as it is)."""

    input: str
    corruption: str | None
    step: int


@torch.no_grad()
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
    table = table.take(_sampled_rows(len(table), seed))
    model.eval()
    corrupted_inputs = [(spec, corruption) for spec in model.schema.inputs for corruption in corruptions(spec, table)]
    truths, present, predictions = [], [], {}
    for start in range(0, len(table), BATCH):
        records = table.take(np.arange(start, min(start + BATCH, len(table))))
        batch: Batch = next(iter(model.batches(records, batch_size=BATCH)))
        truths.append(arrays(batch.targets))
        features = model.encode(batch.inputs)
        present.append({name: features[name].present.cpu().numpy() for name in model.encoders.names})
        for trial, decided in _run_trials(model, records, batch.targets, corrupted_inputs, features, advance):
            predictions.setdefault(trial, []).append(decided)
    stacked = {
        trial: {name: stack([predicted[name] for predicted in pieces]) for name in pieces[0]}
        for trial, pieces in predictions.items()
    }
    truth = {name: stack([piece[name] for piece in truths]) for name in truths[0]}
    present_in = {name: np.concatenate([piece[name] for piece in present]) for name in present[0]}
    curves = [
        _curve(
            target,
            spec,
            corruption,
            metric_of[target.name],
            (truth[target.name], stacked),
            present_in[spec.name],
            table,
            seed,
        )
        for target in model.schema.targets
        if target.name in truth and target.name in metric_of
        for spec, corruption in corrupted_inputs
    ]
    return [curve for curve in curves if curve is not None]


def trials(model: Model, table: Table) -> int:
    """How many times `robustness` will call `advance` with 1."""
    per_batch = sum(1 + 5 * len(corruptions(spec, table)) for spec in model.schema.inputs)
    return per_batch * -(-min(len(table), RECORDS) // BATCH)


def _sampled_rows(count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(count)[:RECORDS])


def _run_trials(
    model: Model,
    records: Table,
    targets: dict[str, dict[str, Tensor]],
    corrupted_inputs: list[tuple[InputSpec, Corruption]],
    features: dict[str, Features],
    advance: Callable[[int], None],
):
    """Each trial with what the model decides in it; only the corrupted input is encoded again."""
    uncorrupted = predict_targets(model, model.fuse(features), targets)
    rows = np.arange(len(records))
    for name in model.encoders.names:
        without = {
            view: encoded.where(torch.full_like(encoded.present, model.input_of(view) != name))
            for view, encoded in features.items()
        }
        yield _Trial(name, None, 0), predict_targets(model, model.fuse(without), targets)
        advance(1)
    for spec, corruption in corrupted_inputs:
        yield _Trial(spec.name, corruption.name, 0), uncorrupted
        for step, (_, strength) in enumerate(corruption.strengths, start=1):
            readers = {
                view: Corrupted(processor, corruption, strength) for view, processor in model.readers(spec.name).items()
            }
            reader = with_views(Records(records, {spec.name: readers.pop(spec.name)}), readers)
            inputs = reader.batch(rows).to(model.device).inputs
            fused = model.fuse(features | model.encode(inputs))
            yield _Trial(spec.name, corruption.name, step), predict_targets(model, fused, targets)
            advance(1)


def _curve(
    target: Any,
    spec: InputSpec,
    corruption: Corruption,
    metric: str,
    outcomes: tuple[Columns, dict[_Trial, Predictions]],
    present: np.ndarray,
    table: Table,
    seed: int,
) -> Curve | None:
    truth, predictions = outcomes
    rows = truth["mask"].astype(bool) & present
    if not rows.any():
        return None
    true = rows_of(truth, rows)
    steps = [_Trial(spec.name, corruption.name, step) for step in range(len(corruption.strengths) + 1)]
    by_trial = {}
    for trial in [*steps, _Trial(spec.name, None, 0)]:
        predicted = rows_of(predictions[trial][target.name], rows)
        by_trial[trial] = metrics(target.kind, true, predicted)[metric]
    clusters = None if table.groups is None else table.groups[rows]
    resamples = Resamples(int(rows.sum()), clusters, RESAMPLES, seed)
    drawn = distribution(by_trial, resamples)
    values = {trial: measured(trial_metric, drawn[trial], resamples) for trial, trial_metric in by_trial.items()}
    *corrupted, without = values.values()
    names = ["as it is", *(label for label, _ in corruption.strengths)]
    return Curve(
        target.name, spec.name, corruption.name, corruption.unit, metric, names, corrupted, without, resamples.rows
    )
