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
from sensorium.data.scan import save_bad, scan, set_aside
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.files import whole_folder
from sensorium.model import Model, load
from sensorium.build.beginning import OBJECTIVES
from sensorium.tasks.previous_run import Memory
from sensorium.build.objectives import with_views
from sensorium.tasks.splits import Part
from sensorium.config.schema import Recipe
from sensorium.console import Hears, Talk
from sensorium.tasks.base import Task
from sensorium.tasks.tasks import task_of
from sensorium.build.finetune import tune
from sensorium.training.adapters import merge
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training
from sensorium.training.optimizer import Rate
from sensorium.training.sampling import ORDERS
from sensorium.training.state import Position, changed, learned_beside, load_position


@dataclass(frozen=True)
class Stage:
    """What every stage of a run works with. `root`: the run's folder, where `folder` is one
    candidate's. `began`: the moment of time.monotonic() at which the run began."""

    folder: Path
    recipe: Recipe
    accelerator: Accelerator
    talk: Talk
    precision: str = "fp32"
    memory: Memory | None = None
    root: Path | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def features(self) -> Path:
        """The folder of the feature cache."""
        return (self.root or self.folder) / "features"

    @property
    def task(self) -> Task:
        """The kind of run that it is."""
        return task_of(None if self.recipe.family is None else self.recipe.family.name)


def look_once(table: Table, stage: Stage) -> tuple[Table, dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Looks at every file once; gives the records that can be used, their content ids, and facts about each input."""
    workers = stage.recipe.training.workers
    with stage.talk.busy("Reading every record once"):
        found = scan(table, 2 if workers is None else workers)
    used, found = set_aside(table, found, stage.recipe.data.bad_records)
    if found.bad and stage.accelerator.is_main_process:
        save_bad(found.bad, stage.folder / "bad_records.csv")
        stage.talk.say(
            f"{counted(len(table) - len(used), 'record')} set aside; {stage.folder / 'bad_records.csv'} says why."
        )
    return used, found.ids, found.facts


def untrained(table: Table, facts: dict[str, dict[str, float]], mark: str, stage: Stage) -> Model:
    """The model as training finds it, built once and saved, so that a resumed run begins with the same.

    Raises UserError when the run began with other records or settings than those that `mark` names.
    """
    start = stage.folder / "start" / mark
    if stage.accelerator.is_main_process and not start.exists():
        last = load_position(stage.folder / "last")  # a finished run has no start any more
        if any(start.parent.glob("[!.]*")) or (last is not None and last.fingerprint != mark):
            raise changed(stage.folder)
        stage.task.begin(table, stage.recipe, facts).save(start)
    stage.accelerator.wait_for_everyone()
    model = load(start)
    tune(model, stage.recipe)
    return model


def choose(
    model: Model,
    split: dict[str, Part],
    records: dict[str, Records],
    mark: str,
    stage: Stage,
    what: str = "Training",
    deadline: float = math.inf,
) -> Position:
    """Training on the training records, to its end; the validation records choose the epoch.

    what: what the live line calls it. deadline: the moment of time.monotonic() at which it ends anyhow.
    """
    training = _training(model, records["train"], stage.recipe, "last", mark, stage)
    training.hooks.validate = stage.task.validator(split, records["validation"], stage.recipe, stage.accelerator)
    training.hooks.deadline = deadline
    return _run(training, what, stage, lambda report: stage.task.watched(report, split, stage))


def refit(whole: Model, model: Model, known: Records, chosen: Position, mark: str, stage: Stage) -> Position:
    """Training anew on training and validation records, for as many epochs as were best; `model` lends what it
    calibrated.
    """
    settings = stage.recipe.training.model_copy(update={"epochs": chosen.best_epoch + 1, "patience": None})
    recipe = stage.recipe.model_copy(update={"training": settings})
    position = _run(
        _training(whole, known, recipe, "refit", f"{mark} {settings.epochs}", stage), "Training on all", stage
    )
    for mine, theirs in zip(whole.heads.buffers(), model.heads.buffers(), strict=True):
        mine.copy_(theirs)
    return chosen.model_copy(update={"seconds": chosen.seconds + position.seconds})


def save_model(model: Model, stage: Stage) -> None:
    """Writes the checkpoint, and the teacher and the queue that training left beside it, whole or not at all."""
    beside = learned_beside(stage.folder / ("refit" if stage.recipe.training.refit else "last"))
    if not beside:
        model.save(stage.folder / "model")
        return
    with whole_folder(stage.folder / "model") as new:
        model.save(new)
        save_file(beside, new / OBJECTIVES)


def _training(model: Model, records: Records, recipe: Recipe, folder: str, mark: str, stage: Stage) -> Training:
    objectives = stage.task.objectives(model, recipe, math.ceil(len(records) / recipe.training.batch_size))
    learner = Learner(model, objectives, recipe.training.modality_dropout, stage.precision)
    rates = {name: Rate(one.learning_rate, one.layer_decay) for name, one in recipe.inputs.items()}
    drawn = ORDERS.get(recipe.training.sampling)
    order = None if drawn is None else partial(drawn, records, recipe.seed)
    records = with_views(records, model, objectives)
    return Training(
        learner, records, recipe.training, stage.folder / folder, Hooks(order=order), mark, stage.accelerator, rates
    )


def _run(
    training: Training, what: str, stage: Stage, watched: Callable[[Hears], Hears] = lambda report: report
) -> Position:
    with stage.talk.training(what, training.settings, len(training.records)) as report:
        training.hooks.report = watched(report)
        if training.resume() and not training.position.finished:
            stage.talk.say(f"{what} goes on from epoch {training.position.epoch + 1}, step {training.position.step}.")
        position = training.run()
    for encoder in training.learner.model.encoders.modules_once:
        merge(encoder)
    return position
