"""Small towers with chance in them, batches to align, and the gradient of a whole batch as one writes it down."""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sensorium.data.records import Records
from sensorium.features import Batch, Features
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.objectives.contrastive import Contrastive
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training
from sensorium.training.settings import TrainingSettings
from tests.objectives import plain
from tests.objectives.plain import Pairs
from tests.training.worlds import table

VIEWS = {"photo": 5, "caption": 4, "sound": 3}  # every so many rows lack the input
DROPOUT = 0.3


class Tower(nn.Module):
    """Numbers, [B, 5], to a summary, [B, 7]; `ran` says of how many rows it was asked."""

    dim, summary_only, processor, modality = 7, True, None, "table"

    def __init__(self, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 9), nn.Dropout(dropout), nn.GELU(), nn.Linear(9, 7))
        self.ran: list[int] = []

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """Features of one token."""
        self.ran.append(len(inputs["value"]))
        return Features.one(self.layers(inputs["value"]), inputs["mask"].any(dim=1))


def learner(
    kind: str = "softmax",
    labels: str | None = None,
    dtype: torch.dtype = torch.float32,
    precision: str = "fp32",
    dropout: float = DROPOUT,
) -> Learner:
    """Three inputs aligned pairwise, one pair counting half."""
    torch.manual_seed(0)
    projections = {name: Projection(7, 6) for name in VIEWS}
    towers = Model(
        {name: Tower(dropout) for name in VIEWS},
        projections,
        temperature=0.07,
        logit_bias=-3.0 if kind == "sigmoid" else None,
    )
    pairs = (("photo", "caption", 1.0), ("photo", "sound", 0.5), ("caption", "sound", 1.0))
    objectives = [Contrastive(a, b, kind, weight, labels) for a, b, weight in pairs]
    return Learner(towers, objectives, precision=precision).to(dtype)


def batch(rows: int = 23, dtype: torch.dtype = torch.float32) -> Batch:
    """Some rows lack an input, some share a caption or a photo, some have a class."""
    chance, place = torch.Generator().manual_seed(1), torch.arange(rows)
    inputs = {
        name: {
            "value": torch.randn(rows, 5, generator=chance, dtype=torch.float64).to(dtype),
            "mask": (place % every != 1)[:, None],
        }
        for name, every in VIEWS.items()
    }
    targets = {"kind": {"mask": place % 3 == 0, "label": place % 2}}
    ids = {"photo": torch.where(place > 18, 18, place), "caption": place // 2, "sound": place}
    return Batch(inputs, targets, ids, [str(row) for row in place.tolist()])


def cut(whole: Batch, pieces: int) -> list[Batch]:
    """The rows of a batch in pieces that need not be of one size."""
    return [_rows(whole, torch.from_numpy(rows)) for rows in np.array_split(np.arange(len(whole.keys)), pieces)]


def _rows(whole: Batch, rows: Tensor) -> Batch:
    inputs, targets = (
        {name: {key: tensor[rows] for key, tensor in one.items()} for name, one in part.items()}
        for part in (whole.inputs, whole.targets)
    )
    ids = {name: one[rows] for name, one in whole.ids.items()}
    return Batch(inputs, targets, ids, [whole.keys[row] for row in rows.tolist()])


def training(folder: Path, one: Learner, accelerator: Accelerator, **settings) -> Training:
    """A training of the learner, to ask gradients of; its records are never read."""
    chosen = TrainingSettings(**{"epochs": 1, "batch_size": 23, "learning_rate": 1e-3} | settings)
    return Training(one, Records(table(23), {}), chosen, folder, Hooks(), "mark", accelerator)


def gradients(one: Learner) -> dict[str, Tensor]:
    """By name, taken out of the learner."""
    found = {name: parameter.grad.clone() for name, parameter in one.named_parameters() if parameter.grad is not None}
    one.zero_grad()
    return found


def by_hand(one: Learner, pieces: list[Batch]) -> dict[str, Tensor]:
    """Gradients of the loss over all rows: the encoders run in pieces, so that dropout is drawn alike, all of it in one
    graph; the loss is the plain formula with all N × N logits.
    """
    model, parts = one.model, []
    for piece in pieces:
        with torch.autocast("cpu", torch.bfloat16, enabled=one.precision == "bf16"):
            parts.append(
                {name: model.embedding(name, model.encode({name: piece.inputs[name]})[name]) for name in VIEWS}
            )
    whole = {name: torch.cat([part[name] for part in parts]) for name in VIEWS}
    ids = {name: torch.cat([piece.ids[name] for piece in pieces]) for name in VIEWS}
    present = {name: torch.cat([piece.present(name) for piece in pieces]) for name in VIEWS}
    targets = [piece.targets["kind"] for piece in pieces]
    known = torch.cat([torch.where(target["mask"], target["label"], -1) for target in targets])
    total = 0.0
    for objective in one.objectives:
        a, b, labels = objective.pair._replace(labels=None if objective.pair.labels is None else known)
        scale = model.logit_scale
        pairs = Pairs(whole[a], whole[b], ids[a], ids[b], scale, labels, present[a], present[b])
        loss = plain.softmax(pairs) if objective.kind == "softmax" else plain.sigmoid(pairs, model.logit_bias)
        total = total + objective.weights[objective.name] * loss / len(plain.present(pairs))
    total.backward()
    return gradients(one)
