"""fit and pretrain: from a table and a recipe to a trained, evaluated, saved model in a folder; resumable."""

import atexit
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator, InitProcessGroupKwargs

from sensorium.config.options import collect_options
from sensorium.config.presets import expand_family
from sensorium.console import Console, StepCallback
from sensorium.errors import UserError, unknown
from sensorium.families import FAMILIES
from sensorium.files import writable
from sensorium.nn.torch_state import usual_torch
from sensorium.runs.folder import RunLayout, lock_folder, prepare_folder
from sensorium.runs.pipeline import run_pipeline
from sensorium.runs.resolve import resolve_config
from sensorium.tasks import TASKS
from sensorium.tasks.base import Run, RunContext, Source, Task
from sensorium.training.precision import choose_device, half_the_cores
from sensorium.training.tensorboard import check_tensorboard

LAYOUT = RunLayout(
    "run",
    files=(
        "recipe.yaml", "metrics.json", "scores.parquet", "log.csv", "bad_records.csv", "search.csv", "search.json",
        "report.html", "measured.json", "card.md",
    ),
    folders=("start", "last", "folds", "refit", "model", "features", "search", "tensorboard"),
    started_markers=("start", "last", "model", "search", "search.json"),
)  # fmt: skip
# One process fills the feature cache while the others wait, for hours maybe; one that dies ends the others anyhow.
PATIENT = InitProcessGroupKwargs(timeout=timedelta(days=7))


def fit(
    records: Source = None,
    out: str | Path = "runs/fit",
    *,
    target: str | Iterable[str] | Mapping[str, str | None] | None = None,
    group: str | None = None,
    key: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoders: Mapping[str, str | Mapping[str, Any]] | None = None,
    fusion: str | None = None,
    head: str | Iterable[str] | Mapping[str, str | Mapping[str, Any]] | None = None,
    align: Iterable[str | tuple[str, str]] | str | None = None,
    teacher: str | Path | None = None,
    family: str | None = None,
    image: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    size: str | None = None,
    epochs: int | None = None,
    log: str | None = None,
    preset: str | None = None,
    budget: str | None = None,
    test: float | None = None,
    split: str | None = None,
    held_out: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    bad_records: str | None = None,
    strict: bool | None = None,
    start_from: str | Path | None = None,
    old_table: str | Path | None = None,
    recipe: dict[str, Any] | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    details: bool = False,
    callbacks: Iterable[StepCallback] = (),
    **settings: Any,
) -> Run:
    """Trains a model on a table of records, scores it on held-out records, and saves all of it in the folder `out`.

    records: a Table, a file (CSV, TSV, JSONL, Parquet), a folder (of class folders, of tar shards, or saved by
    Datasets), a pattern of shards, a pandas table or a list of dicts; None takes the recipe's.
    target: a column to learn, several, or {name: class | labels | number | answer | text}. group, key, columns:
    kinds that are stated, {name: kind}. encoders: {input: "NAME:MODEL,setting=value"}. fusion: its name. head: the same
    of every target, or {target: ...}. align: pairs of inputs that a second loss brings together, "a,b" or
    "a,b=triplet". teacher: a run's folder to learn from.
    family: "albef"; then `image`, `question` and `answer` name columns, and the family's settings, of `size`, lie under
    all others. epochs, seed, device ("auto", "cpu", "cuda"), workers (processes that read): of training. preset:
    "fast", "good" or "best", how much training the choice of a model is worth. budget: time for trying other settings,
    "30m". test: a share held out; split, held_out: a column, and its value that is.
    bad_records: "stop", "skip" or "absent"; strict: stop where it is not clear what a column is. start_from: the folder
    of a run to go on from; old_table: the file of its records.
    recipe: a nested dict of settings or a YAML file, under all of these; `settings`: any other of docs/recipes.md.
    resume: goes on where a stopped or killed run in `out` stood, to the same bits. overwrite: replaces a run in `out`.
    quiet prints nothing, details all tables.
    log: "tensorboard" writes what log.csv has for TensorBoard as well. callbacks: functions called with the figures of
    every step and epoch, by name (docs/notebook.md); they belong to no recipe, and an error in one ends the run.
    Raises UserError for anything the user can mend, and Interrupted after Ctrl-C, once the state is saved.
    """
    options = collect_options(locals())
    if any(option is not None for option in (family, image, question, answer, size)):
        recipe, options = expand_family(recipe, options)
    return start_run(
        TASKS["supervised"](), records, Path(out), recipe, options, resume, overwrite, quiet, details, callbacks
    )


def pretrain(
    family: str,
    records: Source = None,
    out: str | Path = "runs/pretrain",
    *,
    image: str | None = None,
    text: str | None = None,
    audio: str | None = None,
    inputs: Iterable[str] | str | None = None,
    align: Iterable[str | tuple[str, str]] | str | None = None,
    size: str | None = None,
    loss: str | None = None,
    labels: str | None = None,
    group: str | None = None,
    key: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoders: Mapping[str, str | Mapping[str, Any]] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    pieces: int | None = None,
    log: str | None = None,
    test: float | None = None,
    split: str | None = None,
    held_out: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    bad_records: str | None = None,
    strict: bool | None = None,
    start_from: str | Path | None = None,
    recipe: dict[str, Any] | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    details: bool = False,
    callbacks: Iterable[StepCallback] = (),
    **settings: Any,
) -> Run:
    """Brings the inputs of each record together in one space, as `family` ("clip", "albef", "florence") does; scores
    retrieval on held-out records; saves all of it in the folder `out`.

    image, text, audio: a column of that kind; inputs: columns whose kinds are guessed. align: the pairs, [(a, b), ...],
    where not every two inputs are aligned. size: of the encoders that are not named. loss: "softmax" or "sigmoid".
    labels: a column of classes, whose records belong together as well (florence: with the class's label). batch_size:
    records that are told from each other; pieces: in how many they go through the model. start_from: a run or a
    converted checkpoint to begin with.
    All else is as in `fit`, and `settings` (dim, temperature, ...) are those of docs/recipes.md.
    """
    options = collect_options(locals(), not_settings={"family"})
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    return start_run(
        TASKS["contrastive"](family), records, Path(out), recipe, options, resume, overwrite, quiet, details, callbacks
    )


@usual_torch()
def start_run(
    task: Task,
    records: Source,
    folder: Path,
    recipe: dict[str, Any] | str | Path | None,
    options: dict[str, Any],
    resume: bool,
    overwrite: bool,
    quiet: bool,
    details: bool,
    callbacks: Iterable[StepCallback],
) -> Run:
    """Resolves the settings, opens the table, prepares the folder, and runs the pipeline."""
    started, callbacks = time.monotonic(), tuple(callbacks)
    if not all(map(callable, callbacks)):
        raise UserError("callbacks are functions, each called with the figures of a step; give a list of them.")
    writable(folder)
    begun_before = (folder / "recipe.yaml").exists()
    resolved = resolve_config(task, folder, recipe, options, resume)
    if resolved.training.log is not None:
        check_tensorboard()
    accelerator = Accelerator(cpu=choose_device(resolved.training.device).type == "cpu", kwargs_handlers=[PATIENT])
    console = Console(quiet or not accelerator.is_main_process, details)
    table, resolved = task.open(records, resolved, console)
    if accelerator.num_processes > 1:
        atexit.register(accelerator.end_training)  # threads of gloo that still run at the end abort the process
        console.print(f"{accelerator.num_processes} processes train as one.")
    with lock_folder(folder, LAYOUT) if accelerator.is_main_process else nullcontext(), half_the_cores():
        if accelerator.is_main_process:
            prepare_folder(folder, resolved, LAYOUT, resume, overwrite)
        accelerator.wait_for_everyone()
        if resume and not begun_before:
            console.print(f"There is no run in {folder} yet, so this one begins from the start.")
        elif resume and not (folder / "last").exists():
            console.print("No state of training was saved yet, so training begins from the start.")
        context = RunContext(folder, folder, resolved, accelerator, console, callbacks=callbacks)
        return run_pipeline(task, table, context, started)
