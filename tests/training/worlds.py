"""Small tables with a known answer, and learners on them, for the tests of training."""

from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator

from sensorium.data.loading import Records
from sensorium.data.scan import scan
from sensorium.data.table import Table, read
from sensorium.objectives import Supervised
from sensorium.recipe.build import build
from sensorium.recipe.settings import check
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
    recipe = check({"inputs": {"a": QUIET, "b": QUIET}, "fusion": {"name": "concat", "config": {"dropout": 0.0}}})
    model = build(rows, recipe, {})
    learner = Learner(model, [Supervised("y", 1.0), Supervised("z", 0.5)])
    processors = {name: encoder.processor for name, encoder in model.encoders.items()}
    records = Records(rows, processors, scan(rows).ids)
    chosen = TrainingSettings(**{"epochs": 2, "batch_size": 7, "modality_dropout": 0.0} | settings)
    hooks = Hooks(lambda _: Validation([0.0], {}), None if order is None else lambda _: order)
    return Training(learner, records, chosen, folder, hooks, "mark", accelerator)
