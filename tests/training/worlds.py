"""Small tables with a known answer, and learners on them, for the tests of training."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator

from sensorium.build.model import build
from sensorium.config.load import check_recipe
from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.scan import scan
from sensorium.data.table import Table
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.objectives import Contrastive, Correlation, Dual, Information, Supervised, Triplet, Uncertainty
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training, Validation
from sensorium.training.settings import TrainingSettings

QUIET = {"config": {"dropout": 0.0, "augmentation": None}}


def table(rows: int = 31, seed: int = 0) -> Table:
    """Inputs `a` (a number) and `b` (a word), targets `y` (class, missing in some rows) and `z` (a number); some rows
    lack `b`.
    """
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=rows), generator.choice(["red", "green", "blue"], rows)
    frame = pd.DataFrame({"a": a, "b": b, "y": np.where(a > 0, "up", "down"), "z": a + (b == "red") + 10.0})
    frame.loc[generator.random(rows) < 0.3, "b"] = None
    frame.loc[generator.random(rows) < 0.3, "y"] = None
    return read(frame, target={"y": "class", "z": "number"}, columns={"a": "number", "b": "category"}, quiet=True)


def training(
    folder: Path, accelerator: Accelerator, rows: Table, order: np.ndarray | None = None, **settings
) -> Training:
    """A training without any chance in the model (no dropout, no augmentation), in float32."""
    recipe = check_recipe(
        {"inputs": {"a": QUIET, "b": QUIET}, "fusion": {"name": "concat", "config": {"dropout": 0.0}}}
    )
    model = build(rows, recipe, {})
    learner = Learner(model, [Supervised("y", 1.0), Supervised("z", 0.5)])
    return _training(learner, folder, accelerator, rows, order, settings)


def _training(
    learner: Learner, folder: Path, accelerator: Accelerator, rows: Table, order: np.ndarray | None, settings: dict
) -> Training:
    processors = {name: encoder.processor for name, encoder in learner.model.encoders.items()}
    records = Records(rows, processors, scan(rows).ids)
    chosen = TrainingSettings(
        **{"epochs": 2, "batch_size": 7, "learning_rate": 1e-3, "modality_dropout": 0.0} | settings
    )
    hooks = Hooks(lambda _: Validation([0.0], {}), None if order is None else lambda _: order)
    return Training(learner, records, chosen, folder, hooks, "mark", accelerator)


def pairs(rows: int = 33, seed: int = 0) -> Table:
    """Inputs `a`, `c` (numbers) and `b` (a word that many rows share) to align, each missing in some rows; a class `y`,
    missing in some rows.
    """
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=rows), generator.choice(["red", "green", "blue", "grey"], rows)
    frame = pd.DataFrame({"a": a, "b": b, "c": a.round(1) + (b == "red"), "y": np.where(a > 0, "up", "down")})
    for column, rate in (("b", 0.3), ("c", 0.2), ("y", 0.3)):
        frame.loc[generator.random(rows) < rate, column] = None
    columns = {"a": "number", "b": "category", "c": "number"}
    return read(frame, target={"y": "class"}, columns=columns, quiet=True)


def aligning(
    folder: Path,
    accelerator: Accelerator,
    rows: Table,
    order: np.ndarray | None = None,
    kind: str = "softmax",
    dropout: float = 0.0,
    **settings,
) -> Training:
    """A training that aligns `a`, `b` and `c` of `pairs` pairwise; two pairs know of the class, one counts half.

    kind: of the contrastive losses, or "others": one of each loss that is not contrastive.
    """
    quiet = {"config": {"dropout": dropout, "augmentation": None}}
    made = build(rows, check_recipe({"inputs": dict.fromkeys("abc", quiet), "fusion": {"name": "concat"}}), {})
    encoders = dict(made.encoders.items())
    torch.manual_seed(3)
    projections = {name: Projection(encoder.dim, 6) for name, encoder in encoders.items()}
    bias = -3.0 if kind == "sigmoid" else None
    model = Model(encoders, projections, temperature=0.1, logit_bias=bias, schema=rows.schema)
    told = (("a", "b", 1.0, "y"), ("a", "c", 0.5, None), ("b", "c", 1.0, "y"))
    if kind == "others":
        model = Model(encoders, projections, schema=rows.schema)
        others = [Triplet("a", "b", margin=1.0, labels="y"), Triplet("b", "c", "hardest", 1.0, weight=0.5)]
        others += [Information("a", "c", labels="y"), Correlation("a", "c", 2, ridge=0.1), Dual("a", "b", (6, 6))]
        objectives = [Uncertainty(others)]
    else:
        objectives = [Contrastive(a, b, kind, weight, labels) for a, b, weight, labels in told]
    return _training(Learner(model, objectives), folder, accelerator, rows, order, settings)
