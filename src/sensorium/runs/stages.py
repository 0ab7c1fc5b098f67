"""The stages of a run, each leaving in its folder what the next one needs."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from safetensors.torch import save_file

from sensorium.data.records import Records
from sensorium.data.scan import drop_bad_records, scan, write_bad_records
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.files import whole_folder
from sensorium.model import Model, load
from sensorium.build.beginning import OBJECTIVES
from sensorium.tasks.previous_run import PreviousRun
from sensorium.build.objectives import with_views
from sensorium.tasks.splits import Split
from sensorium.config.schema import Recipe
from sensorium.console import StepCallback, Console
from sensorium.tasks.base import Task
from sensorium.tasks.tasks import task_for
from sensorium.build.finetune import apply_finetuning
from sensorium.training.adapters import merge
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training
from sensorium.training.optimizer import EncoderLearningRate
from sensorium.training.sampling import ORDERS
from sensorium.training.state import TrainingState, run_mismatch_error, objective_state, load_training_state


@dataclass(frozen=True)
class RunContext:
    """What every context of a run works with. `root`: the run's folder, where `folder` is one
    candidate's. `began`: the moment of time.monotonic() at which the run began."""

    folder: Path
    recipe: Recipe
    accelerator: Accelerator
    console: Console
    precision: str = "fp32"
    memory: PreviousRun | None = None
    root: Path | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def features(self) -> Path:
        """The folder of the feature cache."""
        return (self.root or self.folder) / "features"

    @property
    def task(self) -> Task:
        """The kind of run that it is."""
        return task_for(None if self.recipe.family is None else self.recipe.family.name)


def scan_records(table: Table, context: RunContext) -> tuple[Table, dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Looks at every file once; gives the records that can be used, their content ids, and facts about each input."""
    workers = context.recipe.training.workers
    with context.console.spinner("Reading every record once"):
        found = scan(table, 2 if workers is None else workers)
    used, found = drop_bad_records(table, found, context.recipe.data.bad_records)
    if found.bad and context.accelerator.is_main_process:
        write_bad_records(found.bad, context.folder / "bad_records.csv")
        context.console.print(
            f"{counted(len(table) - len(used), 'record')} set aside; {context.folder / 'bad_records.csv'} says why."
        )
    return used, found.ids, found.facts


def initial_model(table: Table, facts: dict[str, dict[str, float]], mark: str, context: RunContext) -> Model:
    """The model as training finds it, built once and saved, so that a resumed run begins with the same.

    Raises UserError when the run began with other records or settings than those that `mark` names.
    """
    start = context.folder / "start" / mark
    if context.accelerator.is_main_process and not start.exists():
        last = load_training_state(context.folder / "last")  # a finished run has no start any more
        if any(start.parent.glob("[!.]*")) or (last is not None and last.fingerprint != mark):
            raise run_mismatch_error(context.folder)
        context.task.begin(table, context.recipe, facts).save(start)
    context.accelerator.wait_for_everyone()
    model = load(start)
    apply_finetuning(model, context.recipe)
    return model


def train_with_validation(
    model: Model,
    split: dict[str, Split],
    records: dict[str, Records],
    mark: str,
    context: RunContext,
    what: str = "Training",
    deadline: float = math.inf,
) -> TrainingState:
    """Training on the training records, to its end; the validation records choose the epoch.

    what: what the live line calls it. deadline: the moment of time.monotonic() at which it ends anyhow.
    """
    training = _training(model, records["train"], context.recipe, "last", mark, context)
    training.hooks.validate = context.task.validator(split, records["validation"], context.recipe, context.accelerator)
    training.hooks.deadline = deadline
    return _run(training, what, context, lambda report: context.task.watched(report, split, context))


def refit(whole: Model, model: Model, known: Records, chosen: TrainingState, mark: str, context: RunContext) -> TrainingState:
    """Training anew on training and validation records, for as many epochs as were best; `model` lends what it
    calibrated.
    """
    settings = context.recipe.training.model_copy(update={"epochs": chosen.best_epoch + 1, "patience": None})
    recipe = context.recipe.model_copy(update={"training": settings})
    position = _run(
        _training(whole, known, recipe, "refit", f"{mark} {settings.epochs}", context), "Training on all", context
    )
    for mine, theirs in zip(whole.heads.buffers(), model.heads.buffers(), strict=True):
        mine.copy_(theirs)
    return chosen.model_copy(update={"seconds": chosen.seconds + position.seconds})


def save_model(model: Model, context: RunContext) -> None:
    """Writes the checkpoint, and the teacher and the queue that training left beside it, whole or not at all."""
    beside = objective_state(context.folder / ("refit" if context.recipe.training.refit else "last"))
    if not beside:
        model.save(context.folder / "model")
        return
    with whole_folder(context.folder / "model") as new:
        model.save(new)
        save_file(beside, new / OBJECTIVES)


def _training(model: Model, records: Records, recipe: Recipe, folder: str, mark: str, context: RunContext) -> Training:
    objectives = context.task.objectives(model, recipe, math.ceil(len(records) / recipe.training.batch_size))
    learner = Learner(model, objectives, recipe.training.modality_dropout, context.precision)
    rates = {name: EncoderLearningRate(one.learning_rate, one.layer_decay) for name, one in recipe.inputs.items()}
    drawn = ORDERS.get(recipe.training.sampling)
    order = None if drawn is None else partial(drawn, records, recipe.seed)
    records = with_views(records, model, objectives)
    return Training(
        learner, records, recipe.training, context.folder / folder, Hooks(order=order), mark, context.accelerator, rates
    )


def _run(
    training: Training, what: str, context: RunContext, watched: Callable[[StepCallback], StepCallback] = lambda report: report
) -> TrainingState:
    with context.console.training(what, training.settings, len(training.records)) as report:
        training.hooks.report = watched(report)
        if training.resume() and not training.position.finished:
            context.console.print(f"{what} goes on from epoch {training.position.epoch + 1}, step {training.position.step}.")
        position = training.run()
    for encoder in training.learner.model.encoders.modules_once:
        merge(encoder)
    return position
