"""What `fit` would do with a table, and how long that would take, measured on a few steps of the real training."""

import math
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator

from sensorium.build.model import apply_finetuning, with_pictures, with_usual_fusion
from sensorium.build.objectives import fitted_by, with_views
from sensorium.config.defaults import default_workers, fill_defaults
from sensorium.config.schema import Recipe
from sensorium.data.records import Records
from sensorium.data.scan import scan
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.features import Batch
from sensorium.model import Model
from sensorium.runs.summary import describe_encoder, describe_head
from sensorium.tasks.splits import split_records
from sensorium.tasks.supervised import SupervisedTask
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training
from sensorium.training.optimizer import EncoderLearningRate
from sensorium.training.precision import choose_device, choose_precision, half_the_cores
from sensorium.training.sampling import ORDERS

_STEPS = 4  # measured; the first is not counted
_LONGEST = 10.0  # seconds of measuring, once one step is counted
_FILES = 256  # records whose files are looked at for the sizes that an encoder is built by
_RECORDS = 5000  # that the measured model is built from


class Plan(NamedTuple):
    """What `fit` would do: records of each part, parts of the model, steps, and the seconds it would take at most.
    `step_ms` and `read_ms` are the measured milliseconds of a step's computing and of reading one record in one
    process; `evaluate_ms` those of one record without training."""

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


class _Seconds(NamedTuple):
    """Measured: `read`, of one record in one process; `step`, of a step's computing; `evaluate`, of one record."""

    read: float
    step: float
    evaluate: float


class _EnoughSteps(Exception):
    """Ends a training that has taken enough steps to measure."""


def plan(table: Table, recipe: Recipe, scan_seconds: float) -> Plan:
    """The plan for a table without broken files, whose files took `scan_seconds` to look at once. Builds the model and
    takes a few real steps, which nothing is kept of. Raises UserError where fit would."""
    table = with_pictures(table, recipe)
    ids = {spec.name: np.zeros(len(table), dtype=np.int64) for spec in table.schema.inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # copies across the split are a finding of their own
        split = split_records(table, ids, recipe)
    counts = {name: len(side.table) for name, side in split.items() if name != "train_val"}
    train = split["train"].table
    sample = train.take(_evenly(len(train), _RECORDS))
    facts = scan(sample.take(_evenly(len(sample), _FILES))).facts
    for spec in table.schema.inputs:
        facts[spec.name] |= {"records": int(sample.present(spec).sum())}
    device = choose_device(recipe.training.device)
    reads_files = any(spec.modality in MEDIA for spec in table.schema.inputs)
    recipe = with_usual_fusion(table, recipe)
    recipe = default_workers(fill_defaults(recipe, len(train), train.schema.targets), reads_files)
    precision, _ = choose_precision(recipe.training.precision, device)
    with half_the_cores():
        model = SupervisedTask().initial_model(sample, recipe, facts).to(device)
        apply_finetuning(model, recipe)
        seconds = _measure(model, sample, recipe, precision)
    return _plan(model, recipe, counts, seconds, precision, scan_seconds)


def _evenly(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _measure(model: Model, table: Table, recipe: Recipe, precision: str) -> _Seconds:
    """Trains for a few steps as fit does, but with one process that reads and computes in turn."""
    objectives = fitted_by(model, recipe)
    learner = Learner(model, objectives, recipe.training.modality_dropout, precision)
    records = Records(table, model.processors, seed=recipe.seed)
    ordered = ORDERS.get(recipe.training.sampling)
    order = None if ordered is None else partial(ordered, records, recipe.seed)
    rates = {name: EncoderLearningRate(each.learning_rate, each.layer_decay) for name, each in recipe.inputs.items()}
    endless = {"epochs": _STEPS + 1, "patience": None, "checkpoint_seconds": math.inf, "workers": 0}
    settings = recipe.training.model_copy(update=endless)
    begins, ends, batches = [], [time.perf_counter()], []

    def begin(learner: torch.nn.Module, batch: tuple[Batch, ...]) -> None:
        if len(begins) < len(ends):  # a step in pieces has several forward passes
            begins.append(time.perf_counter())
            batches.append(batch[0])

    def end(figures: dict[str, Any]) -> None:
        if figures["step"] > 0:  # it is 0 at the end of an epoch
            ends.append(_moment(model.device))
            if len(begins) == _STEPS or (len(begins) > 1 and ends[-1] - ends[0] > _LONGEST):
                raise _EnoughSteps

    learner.register_forward_pre_hook(begin)
    with TemporaryDirectory() as folder, suppress(_EnoughSteps):
        Training(
            learner, with_views(records, model, objectives), settings, Path(folder), Hooks(None, order, end), "",
            Accelerator(cpu=model.device.type == "cpu"), rates,
        ).run()  # fmt: skip
    # Reading is what lies between the end of a step and the beginning of the next one.
    reads = [begin - end for begin, end in zip(begins[1:], ends[1:], strict=False)]
    steps = [end - begin for begin, end in zip(begins[1:], ends[2:], strict=True)]
    records_read = min(settings.batch_size, len(table))
    return _Seconds(median(reads) / records_read, median(steps), _time_evaluation(learner, batches[-1]))


def _time_evaluation(learner: Learner, batch: Batch) -> float:
    """Seconds of one record of `batch` without training."""
    learner.eval()
    began = time.perf_counter()
    with torch.no_grad():
        learner(batch)
    return (_moment(learner.model.device) - began) / len(batch.keys)


def _moment(device: torch.device) -> float:
    """Now, in seconds, once a GPU has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _plan(
    model: Model, recipe: Recipe, counts: dict[str, int], seconds: _Seconds, precision: str, scan_seconds: float
) -> Plan:
    training = recipe.training
    epochs, batch_size, workers = training.epochs or 1, training.batch_size or 1, training.workers or 0
    steps = math.ceil(counts["train"] / batch_size)
    refit_steps = math.ceil((counts["train"] + counts["validation"]) / batch_size) if training.refit else 0
    # Processes read while this one computes; without them it does both in turn.
    reading = batch_size * seconds.read
    step = max(seconds.step, reading / workers) if workers else seconds.step + reading
    validation = counts["validation"] * (seconds.read / max(workers, 1) + seconds.evaluate)
    total = epochs * (steps * step + validation + refit_steps * step)
    total += scan_seconds + counts.get("test", counts["validation"]) * (seconds.read + seconds.evaluate)
    return Plan(
        records=counts,
        encoders={
            name: describe_encoder(encoder)
            for name, encoder in model.encoders.items()
        },
        fusion=recipe.fusion.name,
        heads={name: describe_head(head) for name, head in model.heads.items()},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        epochs=epochs, batch_size=batch_size, steps=steps * epochs, refit=bool(training.refit), workers=workers,
        device=model.device.type, precision=precision, step_ms=1000 * seconds.step, read_ms=1000 * seconds.read,
        evaluate_ms=1000 * seconds.evaluate, seconds=total,
    )  # fmt: skip
