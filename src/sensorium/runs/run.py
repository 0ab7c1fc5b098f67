"""A run: from a table and a recipe to a trained, evaluated, saved model in a folder; resumable at any moment."""

import atexit
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator, InitProcessGroupKwargs

from sensorium.data.records import Records
from sensorium.data.sources.shards import shard_summary
from sensorium.data.table import Table
from sensorium.evaluation import Report
from sensorium.files import discard
from sensorium.model import Model
from sensorium.tasks.answers import fit_answer_vocabulary
from sensorium.runs.folder import RunLayout, prepare_folder
from sensorium.tasks.splits import Split, split_records
from sensorium.config.presets import expand_family
from sensorium.runs.ready import prepare_run
from sensorium.reports.report import write_report_without_measurements
from sensorium.runs.sweep import sweep
from sensorium.runs.resolve import resolve_config
from sensorium.runs.stages import RunContext, train_with_validation, scan_records, refit, save_model, initial_model
from sensorium.console import Console
from sensorium.tasks.tasks import task_for
from sensorium.training.precision import choose_device, half_the_cores
from sensorium.training.state import TrainingState

MADE = RunLayout(
    "run",
    files=(
        "recipe.yaml", "metrics.json", "scores.parquet", "log.csv", "bad_records.csv", "search.csv", "search.json",
        "report.html", "measured.json",
    ),
    folders=("start", "last", "refit", "model", "features", "search"),
    begun=("start", "last", "model", "search", "search.json"),
)  # fmt: skip
# One process fills the feature cache while the others wait, for hours maybe; one that dies ends the others anyhow.
PATIENT = InitProcessGroupKwargs(timeout=timedelta(days=7))


@dataclass
class Run:
    """A finished run: its model, its report, its folder; and whether this process, of several, speaks for all."""

    model: Model
    report: Report
    folder: Path
    speaks: bool = True

    @property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return self.report.to_dict()


def fit(
    records: Table | pd.DataFrame | list[dict] | str | Path | None = None,
    out: str | Path = "runs/fit",
    *,
    recipe: dict[str, Any] | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Run:
    """Trains a model on a table of records, scores it on held-out records, and saves all of it in the folder `out`.

    records: a Table, a file (CSV, TSV, JSONL, Parquet), a folder (of class folders, of tar shards, or saved by
    Datasets), a pattern of shards, a pandas table or a list of dicts; None takes the recipe's.
    recipe: a nested dict of settings or a YAML file; `options` (see `sensorium.config.options.apply`) lie over it.
    With `family="albef"`, `image`, `question` and `answer` name columns, and the family's settings lie under both.
    resume: goes on where a stopped or killed run in `out` stood, to the same bits. overwrite: replaces a run in `out`.
    Raises UserError for anything the user can mend, and Interrupted after Ctrl-C, once the state is saved.
    """
    recipe, options = expand_family(recipe, options)
    return _start(None, records, Path(out), recipe, options, resume, overwrite, quiet)


def pretrain(
    family: str,
    records: Table | pd.DataFrame | list[dict] | str | Path | None = None,
    out: str | Path = "runs/pretrain",
    *,
    recipe: dict[str, Any] | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Run:
    """Brings the inputs of each record together in one space, as `family` ("clip") does; scores retrieval on held-out
    records; saves all of it in the folder `out`.

    options: `image`, `text`, `audio` name a column of that kind, `inputs` names columns whose kinds are guessed;
    `align` names the pairs, [(a, b), ...], where not every two inputs are aligned; `size`, `dim`, `loss`,
    `temperature`, `labels` and the rest are as in docs/recipes.md. All else is as in `fit`.
    """
    return _start(family, records, Path(out), recipe, options, resume, overwrite, quiet)


def _start(
    family: str | None,
    records: Table | pd.DataFrame | list[dict] | str | Path | None,
    folder: Path,
    recipe: dict[str, Any] | str | Path | None,
    options: dict[str, Any],
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> Run:
    begun = (folder / "recipe.yaml").exists()
    task = task_for(family)
    asked = resolve_config(task, folder, recipe, options, resume)
    accelerator = Accelerator(cpu=choose_device(asked.training.device).type == "cpu", kwargs_handlers=[PATIENT])
    context = RunContext(folder, asked, accelerator, Console(quiet or not accelerator.is_main_process))
    table, asked = task.open(records, asked, context.console)
    if accelerator.num_processes > 1:
        atexit.register(accelerator.end_training)  # threads of gloo that still run at the end abort the process
        context.console.print(f"{accelerator.num_processes} processes train as one.")
    if accelerator.is_main_process:
        prepare_folder(folder, asked, MADE, resume, overwrite)
    accelerator.wait_for_everyone()
    if resume and not begun:
        context.console.print(f"There is no run in {folder} yet, so this one begins from the start.")
    with half_the_cores():
        return carry_out(table, replace(context, recipe=asked))


def carry_out(table: Table, context: RunContext) -> Run:
    """All stages of a run, each leaving in the folder what the next one needs."""
    table, ids, facts = scan_records(table, context)
    table, ids, seen, memory = context.task.sort_out(table, ids, context.recipe, context.console)
    context = replace(context, memory=memory)
    split = split_records(table, ids, context.recipe, seen, context.task.together(table, ids, context.console))
    split = fit_answer_vocabulary(split, context.recipe)
    context.task.check_parts(split, context.recipe)
    if context.recipe.budget is not None:
        context = sweep(split, facts, context)
    model, records, mark, context = prepare_run(split, facts, context)
    if table.shards:
        workers = context.recipe.training.workers or 0
        context.console.print(shard_summary(table.shards, len(table), context.accelerator.num_processes, workers))
    chosen = train_with_validation(model, split, records, mark, context)
    context.task.calibrate(model, records["validation"])
    if not context.recipe.training.refit:
        return _finish(model, model, split, records, chosen, context)
    whole = initial_model(split["train"].table, facts, mark, context).to(context.accelerator.device)
    position = refit(whole, model, records["known"], chosen, mark, context)
    return _finish(whole, model, split, records, position, context)


def _finish(
    model: Model, judged: Model, split: dict[str, Split], records: dict[str, Records], position: TrainingState, context: RunContext
) -> Run:
    """Saves the model and its report: on the test records, or else of `judged`, its twin that never learned from
    them, on the
    validation records.
    """
    name = "test" if "test" in split else "validation"
    scored = model if name == "test" else judged
    with context.console.spinner(f"Scoring the {name} records"):
        report = context.task.report(scored, split[name], records[name], context, position.seconds, model)
    if context.accelerator.is_main_process:
        save_model(model, context)
        report.save(context.folder)
        write_report_without_measurements(context.folder, split[name].table)
        discard(context.folder / "start")
    context.accelerator.wait_for_everyone()
    run = Run(model, report, context.folder, context.accelerator.is_main_process)
    chosen = context.recipe.training.keep == "best"
    context.console.finished(run, name, position, chosen, *context.task.closing(model, split[name], context))
    return run
