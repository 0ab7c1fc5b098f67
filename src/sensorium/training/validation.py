"""A look at held-out records with the model as it stands: for early stopping, and for what heads choose after
training.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from sensorium.data.records import Records
from sensorium.features import Batch, Features
from sensorium.metrics import headline, metrics, point
from sensorium.model import Model
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation

BATCH = 256
ValidationColumns = dict[str, tuple[dict[str, Tensor], dict[str, Tensor], Tensor]]


def validator(records: Records, accelerator: Accelerator) -> Callable[[Learner], Validation]:
    """Gives the function that scores a learner on `records`: the mean headline metric of the targets, ties broken by
    the loss.

    Each process looks at its share of the records, and all get the same answer.
    """

    def validate(learner: Learner) -> Validation:
        share = np.arange(accelerator.process_index, len(records), accelerator.num_processes)
        parts = gather_object([_look(learner, records, share)])
        prior = _prior(learner.model)
        figures, scores, loss = {}, [], 0.0
        for spec in records.table.schema.targets:
            truth, prediction, losses = _join([part[spec.name] for part in parts if spec.name in part])
            if len(losses) == 0:
                continue
            metric = headline(spec.kind, prior[spec.name])
            value = point(metrics(spec.kind, truth, prediction)[metric], len(losses))
            figures |= {f"validation_{metric}_{spec.name}": value, f"validation_loss_{spec.name}": float(losses.mean())}
            scores.append(value if np.isfinite(value) else 0.0)
            loss += learner.weights[spec.name] * float(losses.mean())
        score = float(np.mean(scores)) if scores else 0.0
        return Validation([score, -loss], {"validation": score, "validation_loss": loss} | figures)

    return validate


@torch.no_grad()
def calibrate(model: Model, records: Records) -> None:
    """Lets every head choose its thresholds, temperatures and weights on `records`, once, after training."""
    model.eval()
    fused, targets = [], []
    for batch in _batches(records, np.arange(len(records)), model.device):
        fused.append(model.fuse(model.encode(batch.inputs, batch.ids)))
        targets.append(batch.targets)
    whole = Features.joined(fused)
    for name, head in model.heads.items():
        head.calibrate(whole, {key: torch.cat([part[name][key] for part in targets]) for key in targets[0][name]})


@torch.no_grad()
def _look(learner: Learner, records: Records, rows: np.ndarray) -> ValidationColumns:
    """By target: truth, prediction and loss of those of the `rows` that have it and any input."""
    model, parts = learner.model, {name: [] for name in learner.model.heads.names}
    for batch in _batches(records, rows, model.device):
        with torch.autocast(model.device.type, torch.bfloat16, enabled=learner.precision == "bf16"):
            fused = model.fuse(model.encode(batch.inputs, batch.ids))
            decided = model.decide(fused)
            losses = {name: head.loss(fused, batch.targets[name]) for name, head in model.heads.items()}
        for name, target in batch.targets.items():
            keep = target["mask"] & fused.present
            found = (target, decided[name], {"loss": losses[name]})
            parts[name].append(
                [{key: value[keep].float().cpu().numpy() for key, value in one.items()} for one in found]
            )
    return {name: _concatenate(part) for name, part in parts.items() if part}


def _concatenate(parts: list) -> tuple:
    truth, prediction, loss = (
        {key: np.concatenate([part[place][key] for part in parts]) for key in parts[0][place]} for place in range(3)
    )
    return truth, prediction, loss["loss"]


def _join(parts: list) -> tuple:
    """The processes' findings on one target as one; places of classes and answers are whole numbers again."""
    truth, prediction, loss = _concatenate([(truth, prediction, {"loss": loss}) for truth, prediction, loss in parts])
    for place in {"label", "answers"} & truth.keys():
        truth[place], prediction["decision"] = truth[place].astype(int), prediction["decision"].astype(int)
    return truth, prediction, loss


@torch.no_grad()
def _prior(model: Model) -> dict[str, dict[str, np.ndarray]]:
    """What the model says of one record that has no input at all."""
    device = model.device
    absent = torch.zeros(1, dtype=torch.bool, device=device)
    nothing = {
        name: Features.one(torch.zeros(1, part.dim, device=device), absent) for name, part in model.encoders.items()
    }
    decided = model.decide(model.fuse(nothing))
    return {name: {key: value.cpu().numpy() for key, value in one.items()} for name, one in decided.items()}


def _batches(records: Records, rows: np.ndarray, device: torch.device) -> Iterator[Batch]:
    for start in range(0, len(rows), BATCH):
        yield records.batch(rows[start : start + BATCH]).to(device)
