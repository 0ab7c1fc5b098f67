"""What `fit` would do with a table, and how long that would take, measured on a few steps of the real thing."""

import math
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from sensorium.build.continual import build_or_load
from sensorium.build.objectives import fitted_by, with_views
from sensorium.config.defaults import fill_defaults
from sensorium.config.schema import Recipe
from sensorium.data.records import Records
from sensorium.data.scan import scan
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.features import Batch
from sensorium.model import Model, is_frozen
from sensorium.tasks.splits import split_records
from sensorium.training.learner import Learner
from sensorium.training.optimizer import optimizer
from sensorium.training.precision import choose_device, choose_precision, half_the_cores

_STEPS = 4  # measured; the first is not counted
_LONGEST = 10.0  # seconds of measuring, once one step is counted
_FILES = 256  # records whose files are looked at for the sizes that an encoder is built by
_RECORDS = 5000  # that the measured model is built from


class Plan(NamedTuple):
    """What `fit` would do: records of each part, parts of the model, steps, and the seconds it would take at most.

    `step_ms` and `read_ms` are the measured milliseconds of a step's computing and of reading one record in one
    process; `evaluate_ms` those of one record without training.
    """

    records: dict[str, int]
    encoders: dict[str, str]
    fusion: str
    heads: dict[str, str]
    parameters: int
    epochs: int
    batch_size: int
    steps: int
    refit: bool
    workers: int
    device: str
    precision: str
    step_ms: float
    read_ms: float
    evaluate_ms: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return self._asdict()


def plan(table: Table, recipe: Recipe, scan_seconds: float) -> Plan:
    """The plan for a table without broken files, whose files took `scan_seconds` to look at once.

    Builds the model and takes a few real steps, which nothing is kept of. Raises UserError where fit would.
    """
    ids = {spec.name: np.zeros(len(table), dtype=np.int64) for spec in table.schema.inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # copies across the split are a finding of their own
        split = split_records(table, ids, recipe)
    counts = {name: len(part.table) for name, part in split.items() if name != "known"}
    train = split["train"].table
    few = train.take(_evenly(len(train), _RECORDS))
    facts = scan(few.take(_evenly(len(few), _FILES))).facts
    device = choose_device(recipe.training.device)
    recipe = fill_defaults(recipe, len(train), any(spec.modality in MEDIA for spec in table.schema.inputs))
    precision, _ = choose_precision(recipe.training.precision, device)
    with half_the_cores():
        model = build_or_load(few, recipe, _counted(facts, few)).to(device)
        read, step, judge = _measured(model, few, recipe, precision)
    return _plan(model, recipe, counts, (read, step, judge), precision, scan_seconds)


def _counted(facts: dict[str, dict[str, float]], table: Table) -> dict[str, dict[str, float]]:
    """The facts of a few records, with the number of all that have the input."""
    return {spec.name: facts[spec.name] | {"records": int(table.present(spec).sum())} for spec in table.schema.inputs}


def _evenly(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _measured(model: Model, table: Table, recipe: Recipe, precision: str) -> tuple[float, float, float]:
    """Seconds of reading a record in one process, of a step's computing, and of one record without training."""
    batch_size = recipe.training.batch_size or 1
    objectives = fitted_by(model, recipe)
    records = with_views(Records(table, model.processors, seed=recipe.seed), model, objectives)
    learner = Learner(model, objectives, recipe.training.modality_dropout, precision)
    update = optimizer(learner, recipe.training, {})
    learner.train()
    reads, steps, judged, begun = [], [], [], time.perf_counter()
    for count in range(_STEPS):
        rows = np.arange(count * batch_size, (count + 1) * batch_size) % len(table)
        start = time.perf_counter()
        batch = records.batch(rows, epoch=0).to(model.device)
        reads.append((time.perf_counter() - start) / len(rows))
        steps.append(_step(learner, update, batch))
        judged.append(_judge(learner, batch) / len(rows))
        if count and time.perf_counter() - begun > _LONGEST:
            break
    return tuple(float(np.median(one[1:])) for one in (reads, steps, judged))


def _step(learner: Learner, update: torch.optim.Optimizer, batch: Batch) -> float:
    start = time.perf_counter()
    losses = learner(batch)
    sum(loss.total / loss.count.clamp(min=1) for loss in losses.values()).backward()
    torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    update.step()
    update.zero_grad(set_to_none=True)
    _wait(learner.model.device)
    return time.perf_counter() - start


def _judge(learner: Learner, batch: Batch) -> float:
    learner.eval()
    start = time.perf_counter()
    with torch.no_grad():
        learner(batch)
    _wait(learner.model.device)
    learner.train()
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _plan(
    model: Model, recipe: Recipe, counts: dict[str, int], times: tuple[float, float, float], precision: str, scan: float
) -> Plan:
    read, step, judge = times
    training = recipe.training
    epochs, batch, workers = training.epochs or 1, training.batch_size or 1, training.workers or 0
    steps = math.ceil(counts["train"] / batch)
    whole = math.ceil((counts["train"] + counts["validation"]) / batch)
    # Processes read while this one computes; without them it does both in turn.
    one = max(step, batch * read / workers) if workers else step + batch * read
    looks = counts["validation"] * (read / max(workers, 1) + judge)
    total = epochs * (steps * one + looks) + (epochs * whole * one if training.refit else 0)
    total += scan + counts.get("test", counts["validation"]) * (read + judge)
    return Plan(
        records=counts,
        encoders={
            name: type(encoder).__name__ + (" (frozen)" if is_frozen(encoder) else "")
            for name, encoder in model.encoders.items()
        },
        fusion=recipe.fusion.name,
        heads={name: type(head).__name__ for name, head in model.heads.items()},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        epochs=epochs, batch_size=batch, steps=steps * epochs, refit=bool(training.refit), workers=workers,
        device=model.device.type, precision=precision, step_ms=1000 * step, read_ms=1000 * read,
        evaluate_ms=1000 * judge, seconds=total,
    )  # fmt: skip
