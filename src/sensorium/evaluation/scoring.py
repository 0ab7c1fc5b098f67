"""Per-sample predictions for every set of inputs, from one encoding of each; and how long one record takes."""

import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation.coalitions import Coalition
from sensorium.evaluation.writing import Writing
from sensorium.features import Batch, Features, to_numpy
from sensorium.metrics import Columns
from sensorium.model import Model, loss_scored_targets

LATENCY_RECORDS = 20


class Scores(NamedTuple):
    """What a model said of N records.

    keys:        [N].
    present:     by input, bool [N]: who has it.
    targets:     by target, its columns as data.targets gives them, each [N, ...]; `mask`, bool [N], says who has it.
    predictions: by coalition and target, the head's columns, each [N, ...].
    """

    keys: list[str]
    present: dict[str, np.ndarray]
    targets: dict[str, Columns]
    predictions: dict[Coalition, dict[str, Columns]]


@torch.no_grad()
def score(
    model: Model, batches: Iterable[Batch], coalitions: Iterable[Coalition], writing: Writing | None = None
) -> Scores:
    """Encodes each batch once, then decides for each coalition with the features of all other inputs taken away.
    `writing` gets the features too, and writes for some of the records.

    A record that lacks all inputs of a coalition gets the training prior. Runs in evaluation mode and leaves the model
    in the mode it was in. Raises UserError for a prediction that is not finite.
    """
    coalitions, was_training = list(dict.fromkeys(coalitions)), model.training
    names = {name for coalition in coalitions for name in coalition}
    keys, present, targets = [], [], []
    predictions = {coalition: [] for coalition in coalitions}
    model.eval()
    try:
        for batch in batches:
            batch = batch.to(model.device)
            features = model.encode(batch.inputs, batch.ids)
            if writing is not None:
                writing.add(model, features, batch.keys, len(keys))
            keys += batch.keys
            present.append({name: to_numpy(encoded.present) for name, encoded in features.items() if name in names})
            targets.append(arrays(batch.targets))
            for coalition in coalitions:
                coalition_features = {
                    view: encoded.where(torch.full_like(encoded.present, _input_of(view, names) in coalition))
                    for view, encoded in features.items()
                }
                predictions[coalition].append(predict_targets(model, model.fuse(coalition_features), batch.targets))
    finally:
        model.train(was_training)
    joined = {coalition: _join(pieces) for coalition, pieces in predictions.items()}
    _refuse_infinite(keys, joined)
    return Scores(keys, stack(present), _join(targets), joined)


def _input_of(view: str, names: Collection[str]) -> str:
    """The input that a view such as `review/words` is of, one of the `names`."""
    return view if view in names else view.rsplit("/", 1)[0]


def predict_targets(model: Model, fused: Features, targets: dict[str, dict[str, Tensor]]) -> dict[str, Columns]:
    """By target, what its head decides; of a target that is scored by its loss, `loss`, float [B]."""
    by_loss = loss_scored_targets(model)
    if not by_loss:
        return arrays(model.decide(fused))
    losses = {name: {"loss": model.heads[name].loss(fused, targets[name])} for name in by_loss if name in targets}
    return arrays(model.decide(fused, without=by_loss) | losses)


def arrays(columns: dict[str, dict[str, torch.Tensor]]) -> dict[str, Columns]:
    """The columns of each target as NumPy arrays."""
    return {name: {key: to_numpy(tensor) for key, tensor in tensors.items()} for name, tensors in columns.items()}


def rows_of(columns: Columns, rows: np.ndarray) -> Columns:
    """The columns at the rows, bool [N], that have the target; without `mask`, which says so."""
    return {key: column[rows] for key, column in columns.items() if key != "mask"}


def _join(pieces: list[dict[str, Columns]]) -> dict[str, Columns]:
    return {name: stack([piece[name] for piece in pieces]) for name in (pieces[0] if pieces else {})}


def stack(pieces: list[Columns]) -> Columns:
    """The columns of batches, one after another; those of different lengths [B, L, ...] with zeros behind."""
    return {key: _stack([piece[key] for piece in pieces]) for key in (pieces[0] if pieces else {})}


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    largest = np.max([array.shape[1:] for array in arrays], axis=0)
    return np.concatenate(
        [np.pad(array, [(0, 0), *((0, int(gap)) for gap in largest - array.shape[1:])]) for array in arrays]
    )


def _refuse_infinite(keys: list[str], predictions: dict[Coalition, dict[str, Columns]]) -> None:
    for by_target in predictions.values():
        for target, columns in by_target.items():
            for column in columns.values():
                wrong = np.argwhere(~np.isfinite(column))
                if len(wrong):
                    raise UserError(
                        f"The model's prediction of '{target}' for the record '{keys[wrong[0][0]]}' is not a finite"
                        " number: its training diverged, so train again with a lower learning rate."
                    )


@torch.no_grad()
def latency(model: Model, table: Table) -> dict[str, float]:
    """Milliseconds from one record's tensors to its decision, over the first records: {"p50", "p95"}.

    Reading and decoding the record's files is not counted.
    """
    was_training = model.training
    model.eval()
    rows = np.arange(LATENCY_RECORDS) % len(table)
    times = []
    try:
        for batch in model.batches(table.take(np.concatenate([rows[:2], rows])), batch_size=1):
            start = time.perf_counter()
            arrays(model.decide(model.fuse(model.encode(batch.inputs))))  # copied from the device: waits for it
            times.append(1000 * (time.perf_counter() - start))
    finally:
        model.train(was_training)
    p50, p95 = np.percentile(times[2:], [50, 95])  # the first two warm up
    return {"p50": float(p50), "p95": float(p95)}
