"""A look at held-out records with the model as it stands: for early stopping, and for what heads then choose."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from sensorium.data.records import Records
from sensorium.data.schema import TargetSpec
from sensorium.data.targets import TARGETS
from sensorium.features import Features, to_numpy
from sensorium.heads.ensemble import Judged
from sensorium.metrics import Columns, headline, metrics, point
from sensorium.model import Model, loss_scored_targets
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation


class TargetColumns(NamedTuple):
    """Of the records that have a target and any input: truth and prediction by key, [M, ...], and loss, float [M]."""

    truth: Columns
    prediction: Columns
    loss: np.ndarray


def validator(records: Records, accelerator: Accelerator) -> Callable[[Learner], Validation]:
    """Gives the function that scores a learner on `records`: the mean headline metric of the targets, ties broken by
    the loss. A target that is scored by its loss counts as minus that. Each process looks at its share of the records,
    and all get the same answer."""

    def validate(learner: Learner) -> Validation:
        share = np.arange(accelerator.process_index, len(records), accelerator.num_processes)
        shares = gather_object([_predict_targets(learner, records, share)])
        prior = _prior_prediction(learner.model)
        figures, scores, total_loss = {}, [], 0.0
        for spec in records.table.schema.targets:
            columns = _concatenate([targets[spec.name] for targets in shares if spec.name in targets])
            if len(columns.loss) == 0:
                continue
            loss = float(columns.loss.mean())
            metric, value = _score(spec, columns, prior)
            figures |= {f"validation_{metric}_{spec.name}": value, f"validation_loss_{spec.name}": loss}
            scores.append(value if np.isfinite(value) else 0.0)
            total_loss += learner.weights[spec.name] * loss
        score = float(np.mean(scores)) if scores else 0.0
        return Validation([score, -total_loss], {"validation": score, "validation_loss": total_loss} | figures)

    return validate


@torch.no_grad()
def calibrate(model: Model, records: Records, judged: Sequence[dict[str, Judged]] = ()) -> None:
    """Lets every head that decides choose its thresholds, temperatures and weights on `records`, once, after training;
    and on what models of other folds have `judged`, by target. What is scored by its loss has nothing to choose."""
    names = _decided(model)
    if not names:
        return
    features, targets = _fused(model, records, names)
    for name in names:
        others = {"judged": [by_target[name] for by_target in judged]} if judged else {}
        model.heads[name].calibrate(features, targets[name], **others)


def judge(model: Model, records: Records) -> dict[str, Judged]:
    """By target that is decided what the model's ensemble says of `records`, which it did not learn from."""
    names = _decided(model)
    features, targets = _fused(model, records, names)
    return {name: model.heads[name].judge(features, targets[name]) for name in names}


def _decided(model: Model) -> list[str]:
    """The targets that are scored by a decision."""
    by_loss = loss_scored_targets(model)
    return [name for name in model.heads.names if name not in by_loss]


@torch.no_grad()
def _fused(model: Model, records: Records, names: Collection[str]) -> tuple[Features, dict[str, dict[str, Tensor]]]:
    """All records fused, and their targets of these `names`."""
    model.eval()
    fused, targets = [], []
    for batch in model.viewed(records).batches(model.device):
        fused.append(model.fuse(model.encode(batch.inputs, batch.ids)))
        targets.append(batch.targets)
    joined = {
        name: {key: torch.cat([target[name][key] for target in targets]) for key in targets[0][name]} for name in names
    }
    return Features.joined(fused), joined


def _score(spec: TargetSpec, columns: TargetColumns, prior: dict[str, Columns]) -> tuple[str, float]:
    """The name of a target's headline metric and its value; minus the loss of a target that is scored by it."""
    if TARGETS[spec.kind].scored_by == "loss":
        return "neg_loss", -float(columns.loss.mean())
    metric = headline(spec.kind, prior[spec.name])
    return metric, point(metrics(spec.kind, columns.truth, columns.prediction)[metric], len(columns.loss))


@torch.no_grad()
def _predict_targets(learner: Learner, records: Records, rows: np.ndarray) -> dict[str, TargetColumns]:
    """By target, what is true and predicted of those of the `rows` that have it and any input."""
    model = learner.model
    by_loss = loss_scored_targets(model)
    batches: dict[str, list[TargetColumns]] = {name: [] for name in model.heads.names}
    for batch in records.batches(model.device, rows):
        with torch.autocast(model.device.type, torch.bfloat16, enabled=learner.precision == "bf16"):
            fused = model.fuse(model.encode(batch.inputs, batch.ids))
            predictions = model.decide(fused, without=by_loss)
            losses = {name: head.loss(fused, batch.targets[name]) for name, head in model.heads.items()}
        for name, target in batch.targets.items():
            keep = target["mask"] & fused.present
            truth = {} if name in by_loss else _rows(target, keep)
            loss = _rows({"loss": losses[name]}, keep)["loss"]
            batches[name].append(TargetColumns(truth, _rows(predictions.get(name, {}), keep), loss))
    return {name: _concatenate(columns) for name, columns in batches.items() if columns}


def _rows(tensors: dict[str, Tensor], keep: Tensor) -> Columns:
    return {key: to_numpy(values[keep]) for key, values in tensors.items()}


def _concatenate(columns: list[TargetColumns]) -> TargetColumns:
    truth, prediction = (
        {key: np.concatenate([side[key] for side in sides]) for key in sides[0]}
        for sides in ([batch.truth for batch in columns], [batch.prediction for batch in columns])
    )
    return TargetColumns(truth, prediction, np.concatenate([batch.loss for batch in columns]))


@torch.no_grad()
def _prior_prediction(model: Model) -> dict[str, Columns]:
    """What the model says of one record that has no input at all, of the targets that it decides on."""
    device = model.device
    absent = torch.zeros(1, dtype=torch.bool, device=device)
    nothing = {
        name: Features.one(torch.zeros(1, encoder.dim, device=device), absent)
        for name, encoder in model.encoders.items()
    }
    decided = model.decide(model.fuse(nothing), without=loss_scored_targets(model))
    return {name: {key: value.cpu().numpy() for key, value in columns.items()} for name, columns in decided.items()}
