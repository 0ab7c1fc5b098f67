"""A run, step by step: each step leaves in the run's folder what the next one needs, so that it can be resumed."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from safetensors.torch import save_file

from sensorium.build.model import apply_finetuning, cached_inputs
from sensorium.build.objectives import with_views
from sensorium.build.pretrained import OBJECTIVES
from sensorium.config.defaults import choose_encoders, default_workers, fill_defaults, tries_others
from sensorium.config.schema import Recipe
from sensorium.console import Console, StepCallback
from sensorium.data.marks import save_marks
from sensorium.data.records import Records
from sensorium.data.scan import leave_out
from sensorium.data.schema import MEDIA
from sensorium.data.sources.shards import shard_summary
from sensorium.data.split import join_codes
from sensorium.data.table import Table
from sensorium.evaluation import Report
from sensorium.files import discard, whole_folder, writing
from sensorium.heads.ensemble import Judged
from sensorium.model import Model, load
from sensorium.reports.report import write_report_without_measurements
from sensorium.runs.loaders import load_splits, scan_records, select_records
from sensorium.runs.summary import print_finished, print_plan
from sensorium.runs.sweep import sweep
from sensorium.tasks.base import Facts, Run, RunContext, Task
from sensorium.tasks.previous_run import PreviousRun
from sensorium.tasks.splits import Split, cross_splits, fit_targets, run_fingerprint, split_records
from sensorium.training.adapters import merge
from sensorium.training.interrupt import Interrupted
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training, with_callbacks
from sensorium.training.optimizer import EncoderLearningRate
from sensorium.training.precision import choose_precision
from sensorium.training.sampling import ORDERS
from sensorium.training.state import TrainingState, load_training_state, objective_state, run_mismatch_error

FOLDS = 4  # of the training records, beside the validation records


def run_pipeline(task: Task, table: Table, context: RunContext, started: float) -> Run:
    """All steps of a run. started: the moment of time.monotonic() at which it began, from which a budget counts."""
    console, accelerator = context.console, context.accelerator

    # 1. Look at every file once; set bad records aside.
    table, ids, facts, families = scan_records(table, context)

    # 2. Leave out what a run that this one goes on from was tested on.
    filtered = task.drop_previous_test(table, ids, context.recipe, console)
    if accelerator.is_main_process:
        reason = "it was in the test of the run that this one goes on from"
        leave_out(table, ~np.isin(table.rows, filtered.table.rows), "", reason, context.run_folder / "bad_records.csv")
    families = None if families is None else families[np.isin(table.rows, filtered.table.rows)]
    table, ids, seen, previous = filtered

    # 3. Split, and learn of the targets what has to be known before training.
    joined = [codes for codes in (task.keep_together(table, ids, console), families) if codes is not None]
    splits = split_records(table, ids, context.recipe, seen, join_codes(joined) if joined else None)
    splits = fit_targets(splits, context.recipe)
    task.check_splits(splits, context.recipe)

    # 4. Fill in what the recipe leaves open.
    recipe, sentences = choose_encoders(splits["train"].table, context.recipe, facts)
    for sentence in sentences:
        console.print(sentence)
    recipe = fill_defaults(recipe, len(splits["train"].table), splits["train"].table.schema.targets)
    context = replace(context, recipe=recipe)

    # 5. Try other settings, within a budget or as the preset says.
    if tries_others(recipe):
        prepare, train = partial(prepare_run, task, trial=True), partial(train_trial, task)
        context = sweep(prepare, train, splits, facts, context, started)

    # 6. Build the model, and the records with the features of its frozen encoders.
    model, records, fingerprint, context = prepare_run(task, splits, facts, context)
    if table.shards:
        workers = context.recipe.training.workers or 0
        console.print(shard_summary(table.shards, len(table), accelerator.num_processes, workers))

    # 7. Train; the validation records choose the epoch. Experts that are not networks join; then the heads choose.
    state = train_with_validation(task, model, splits, records, fingerprint, context)
    task.learn_experts(model, splits["train"], records["train"], context).join(model)
    start = partial(initial_model, task, splits["train"].table, facts, fingerprint, context)
    try:
        judged = cross_fit(task, start, model, splits, records, state.best_epoch + 1, fingerprint, context)
    except Interrupted as stop:
        task.calibrate(model, records["validation"])
        raise _keep_best(model, splits, state, stop, context) from None
    task.calibrate(model, records["validation"], judged)

    # 8. Train again on training and validation records, for as many epochs.
    final = model
    if context.recipe.training.refit:
        final = start().to(accelerator.device)
        try:
            state = refit(task, final, model, splits["train_val"], records["train_val"], state, fingerprint, context)
        except Interrupted as stop:
            raise _keep_best(model, splits, state, stop, context) from None

    # 9. Score, save, report.
    return _finish(task, final, model, splits, records, state, previous, context)


class PreparedRun(NamedTuple):
    """The model before training, the records by split, the run's fingerprint, and the context with its whole recipe."""

    model: Model
    records: dict[str, Records]
    fingerprint: str
    context: RunContext


def prepare_run(
    task: Task, splits: dict[str, Split], facts: Facts, context: RunContext, trial: bool = False
) -> PreparedRun:
    """Builds the model, saves and prints the whole recipe, and fills the feature cache.

    trial: of a trial of other settings nothing is saved or printed, and the test records are not read.
    """
    train, recipe = splits["train"].table, context.recipe
    fingerprint = run_fingerprint(splits, recipe)
    model = initial_model(task, train, facts, fingerprint, context)
    precision, reason = choose_precision(recipe.training.precision, context.accelerator.device)
    cached = cached_inputs(model, recipe)
    reads_files = any(encoder.modality in MEDIA and name not in cached for name, encoder in model.encoders.items())
    recipe = default_workers(recipe, reads_files)
    context = replace(context, recipe=recipe, precision=precision)
    if not trial:
        if context.accelerator.is_main_process:
            recipe.save(context.run_folder / "recipe.yaml")
        counts = {name: len(split.table) for name, split in splits.items() if name != "train_val"}
        print_plan(context.console, recipe, model, counts, precision, reason)
        for sentence in task.sentences(model, splits, recipe):
            context.console.print(sentence)
    model.to(context.accelerator.device)
    records = load_splits(model, splits, cached, context, with_test=not trial)
    return PreparedRun(model, records, fingerprint, context)


def initial_model(task: Task, table: Table, facts: Facts, fingerprint: str, context: RunContext) -> Model:
    """The model as training finds it, built once and saved, so that a resumed run begins with the same.

    Raises UserError when the run began with other records or settings than those that `fingerprint` names.
    """
    folder = context.work_folder / "start" / fingerprint
    if context.accelerator.is_main_process and not folder.exists():
        last = load_training_state(context.work_folder / "last")  # a finished run has no start any more
        if any(folder.parent.glob("[!.]*")) or (last is not None and last.fingerprint != fingerprint):
            raise run_mismatch_error(context.work_folder)
        task.initial_model(table, context.recipe, facts).save(folder)
    context.accelerator.wait_for_everyone()
    model = load(folder)
    apply_finetuning(model, context.recipe)
    return model


def train_with_validation(
    task: Task,
    model: Model,
    splits: dict[str, Split],
    records: dict[str, Records],
    fingerprint: str,
    context: RunContext,
    description: str = "Training",
    deadline: float = math.inf,
) -> TrainingState:
    """Training on the training records, to its end; the validation records choose the epoch.

    description: what the live line calls it. deadline: the moment of time.monotonic() at which it ends anyhow.
    """
    training = _training(task, model, records["train"], context.recipe, "last", fingerprint, context)
    training.hooks.validate = task.validator(splits, records["validation"], context.recipe, context.accelerator)
    training.hooks.deadline = deadline
    try:
        return _run_training(training, description, context, lambda report: task.watch(report, splits, context))
    except Interrupted as stop:
        if not training.best or context.work_folder != context.run_folder:  # a trial of a sweep is no run
            raise
        training.take_best()
        merge(model)
        task.calibrate(model, records["validation"])
        raise _keep_best(model, splits, training.position, stop, context) from None


def cross_fit(
    task: Task,
    start: Callable[[], Model],
    model: Model,
    splits: dict[str, Split],
    records: dict[str, Records],
    epochs: int,
    fingerprint: str,
    context: RunContext,
) -> list[dict[str, Judged]]:
    """What twins of `model`, which learn from other folds for as many `epochs`, say of the records of theirs, by
    target. Of many records none are trained.

    start: gives the model as training finds it.
    """
    if not task.cross_fits(model, context.recipe):
        return []
    judged = []
    if context.accelerator.is_main_process:
        with writing(context.run_folder):
            (context.run_folder / "folds").mkdir(exist_ok=True)
    context.accelerator.wait_for_everyone()
    with context.console.spinner("Training on other folds"):
        for number, fold in enumerate(cross_splits(splits, FOLDS, context.recipe.seed), start=1):
            of_fold = {name: select_records(records["train_val"], part) for name, part in fold.items()}
            twin, folder = start().to(context.accelerator.device), f"folds/{number}"
            inside = replace(context, console=Console(quiet=True), callbacks=())
            _train_for(epochs, task, twin, of_fold["train"], folder, f"{fingerprint} {number}", inside)
            task.learn_experts(twin, fold["train"], of_fold["train"], inside, like=model).join(twin)
            judged.append(task.judge(twin, of_fold["validation"]))
            if context.accelerator.is_main_process:
                discard(context.run_folder / folder)  # a run that is resumed trains it again, which takes little
    return judged


def train_trial(
    task: Task,
    model: Model,
    splits: dict[str, Split],
    records: dict[str, Records],
    fingerprint: str,
    context: RunContext,
    description: str,
    deadline: Callable[[float], float],
) -> tuple[TrainingState, float]:
    """A trial of other settings: experts first, so that it is known how long they take; then training with validation,
    until a deadline. Also gives the seconds in which the experts were learned, 0 where an earlier trial's serve.

    deadline: of these seconds the moment of time.monotonic() at which training has to end.
    """
    learned = task.learn_experts(model, splits["train"], records["train"], context)
    until = deadline(learned.seconds)
    state = train_with_validation(task, model, splits, records, fingerprint, context, description, until)
    learned.join(model)
    task.calibrate(model, records["validation"])
    return state, learned.seconds


def _keep_best(
    model: Model, splits: dict[str, Split], state: TrainingState, stop: Interrupted, context: RunContext
) -> Interrupted:
    """Saves the best model so far, of a training that was stopped, as the run's until the run goes on and ends; gives
    `stop` with a sentence about it."""
    if context.accelerator.is_main_process:
        save_model(model, splits["train"], context, "last")
    context.accelerator.wait_for_everyone()
    return Interrupted(
        f"{stop} The best model so far, of epoch {state.best_epoch + 1}, is in {context.run_folder / 'model'}; predict"
        f" and evaluate take {context.run_folder} as it is."
    )


def refit(
    task: Task,
    final: Model,
    model: Model,
    split: Split,
    records: Records,
    chosen: TrainingState,
    fingerprint: str,
    context: RunContext,
) -> TrainingState:
    """Trains `final` on training and validation records, a `split`, for as many epochs as were best; `model` lends what
    its experts chose and what it calibrated.
    """
    state = _train_for(chosen.best_epoch + 1, task, final, records, "refit", fingerprint, context, "Training on all")
    task.learn_experts(final, split, records, context, like=model).join(final)
    for buffer, calibrated in zip(final.heads.buffers(), model.heads.buffers(), strict=True):
        buffer.copy_(calibrated)
    return chosen.model_copy(update={"seconds": chosen.seconds + state.seconds})


def _train_for(
    epochs: int,
    task: Task,
    model: Model,
    records: Records,
    folder: str,
    fingerprint: str,
    context: RunContext,
    description: str = "Training",
) -> TrainingState:
    """Trains for just so many epochs, without a look at other records."""
    settings = context.recipe.training.model_copy(update={"epochs": epochs, "patience": None})
    recipe = context.recipe.model_copy(update={"training": settings})
    training = _training(task, model, records, recipe, folder, f"{fingerprint} {epochs}", context)
    return _run_training(training, description, context)


def save_model(model: Model, learned: Split, context: RunContext, training: str) -> None:
    """Writes the checkpoint, whole or not at all; beside it the teacher and the queue that the training in the folder
    of that name left, and the marks of the records `learned`."""
    tensors = objective_state(context.run_folder / training)
    with whole_folder(context.run_folder / "model") as new:
        model.save(new)
        if tensors:
            save_file(tensors, new / OBJECTIVES)
        save_marks(new, learned.ids)


def _finish(
    task: Task,
    final: Model,
    model: Model,
    splits: dict[str, Split],
    records: dict[str, Records],
    state: TrainingState,
    previous: PreviousRun | None,
    context: RunContext,
) -> Run:
    """Saves the `final` model and its report: on the test records, or else of `model`, its twin that never learned from
    them, on the validation records.
    """
    name = "test" if "test" in splits else "validation"
    learned, training = ("train_val", "refit") if context.recipe.training.refit else ("train", "last")
    scored, scored_learned = (final, records[learned]) if name == "test" else (model, records["train"])
    with context.console.spinner(f"Scoring the {name} records"):
        report: Report = task.report(
            scored, splits[name], scored.viewed(records[name]), context, state.seconds, final, previous, scored_learned
        )
    if context.accelerator.is_main_process:
        save_model(final, splits[learned], context, training)
        context.recipe.save(context.run_folder / "recipe.yaml")  # again, as someone may have removed the folder
        report.save(context.run_folder)
        write_report_without_measurements(context.run_folder, splits[name].table)
        for finished in ("start", "folds"):
            discard(context.run_folder / finished)
    context.accelerator.wait_for_everyone()
    run = Run(final, report, context.run_folder, context.accelerator.is_main_process)
    closing = task.closing(final, splits[name], context.run_folder, context.recipe)
    print_finished(context.console, run, name, state, context.recipe.training.keep == "best", closing)
    return run


def _training(
    task: Task, model: Model, records: Records, recipe: Recipe, folder: str, fingerprint: str, context: RunContext
) -> Training:
    objectives = task.objectives(model, recipe, math.ceil(len(records) / recipe.training.batch_size))
    learner = Learner(model, objectives, recipe.training.modality_dropout, context.precision)
    rates = {
        name: EncoderLearningRate(settings.learning_rate, settings.layer_decay)
        for name, settings in recipe.inputs.items()
    }
    drawn = ORDERS.get(recipe.training.sampling)
    order = None if drawn is None else partial(drawn, records, recipe.seed)
    records = with_views(records, model, objectives)
    return Training(
        learner, records, recipe.training, context.work_folder / folder, Hooks(order=order), fingerprint,
        context.accelerator, rates,
    )  # fmt: skip


def _run_training(
    training: Training,
    description: str,
    context: RunContext,
    watch: Callable[[StepCallback], StepCallback] = lambda report: report,
) -> TrainingState:
    settings, console = training.settings, context.console
    epochs, batch_size = settings.epochs or 1, settings.batch_size or 1
    with console.training_progress(description, epochs, len(training.records), batch_size) as report:
        training.hooks.report = with_callbacks(watch(report), context.callbacks, description)
        if training.resume() and not training.position.finished:
            epoch, step = training.position.epoch + 1, training.position.step
            console.print(f"{description} goes on from epoch {epoch}, step {step}.")
        state = training.run()
    merge(training.learner.model)
    return state
