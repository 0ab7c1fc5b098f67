"""A run: from a table and a recipe to a trained, evaluated, saved model in a folder; resumable at any moment."""

import atexit
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator, InitProcessGroupKwargs

from sensorium.data.records import Records
from sensorium.data.sources.shards import dealt
from sensorium.data.table import Table
from sensorium.evaluation import Report
from sensorium.files import discard
from sensorium.model import Model
from sensorium.tasks.answers import learned
from sensorium.runs.folder import Made, claim
from sensorium.tasks.splits import Part, parts
from sensorium.config.presets import expanded
from sensorium.runs.ready import make_ready
from sensorium.reports.report import brief
from sensorium.runs.sweep import search
from sensorium.runs.resolve import settle
from sensorium.runs.stages import Stage, choose, look_once, refit, save_model, untrained
from sensorium.console import Talk
from sensorium.tasks.tasks import task_of
from sensorium.training.precision import choose_device, half_the_cores
from sensorium.training.state import Position

MADE = Made(
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
    recipe, options = expanded(recipe, options)
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
    task = task_of(family)
    asked = settle(task, folder, recipe, options, resume)
    accelerator = Accelerator(cpu=choose_device(asked.training.device).type == "cpu", kwargs_handlers=[PATIENT])
    stage = Stage(folder, asked, accelerator, Talk(quiet or not accelerator.is_main_process))
    table, asked = task.open(records, asked, stage.talk)
    if accelerator.num_processes > 1:
        atexit.register(accelerator.end_training)  # threads of gloo that still run at the end abort the process
        stage.talk.say(f"{accelerator.num_processes} processes train as one.")
    if accelerator.is_main_process:
        claim(folder, asked, MADE, resume, overwrite)
    accelerator.wait_for_everyone()
    if resume and not begun:
        stage.talk.say(f"There is no run in {folder} yet, so this one begins from the start.")
    with half_the_cores():
        return carry_out(table, replace(stage, recipe=asked))


def carry_out(table: Table, stage: Stage) -> Run:
    """All stages of a run, each leaving in the folder what the next one needs."""
    table, ids, facts = look_once(table, stage)
    table, ids, seen, memory = stage.task.sort_out(table, ids, stage.recipe, stage.talk)
    stage = replace(stage, memory=memory)
    split = parts(table, ids, stage.recipe, seen, stage.task.together(table, ids, stage.talk))
    split = learned(split, stage.recipe)
    stage.task.check_parts(split, stage.recipe)
    if stage.recipe.budget is not None:
        stage = search(split, facts, stage)
    model, records, mark, stage = make_ready(split, facts, stage)
    if table.shards:
        workers = stage.recipe.training.workers or 0
        stage.talk.say(dealt(table.shards, len(table), stage.accelerator.num_processes, workers))
    chosen = choose(model, split, records, mark, stage)
    stage.task.calibrate(model, records["validation"])
    if not stage.recipe.training.refit:
        return _finish(model, model, split, records, chosen, stage)
    whole = untrained(split["train"].table, facts, mark, stage).to(stage.accelerator.device)
    position = refit(whole, model, records["known"], chosen, mark, stage)
    return _finish(whole, model, split, records, position, stage)


def _finish(
    model: Model, judged: Model, split: dict[str, Part], records: dict[str, Records], position: Position, stage: Stage
) -> Run:
    """Saves the model and its report: on the test records, or else of `judged`, its twin that never learned from
    them, on the
    validation records.
    """
    name = "test" if "test" in split else "validation"
    scored = model if name == "test" else judged
    with stage.talk.busy(f"Scoring the {name} records"):
        report = stage.task.report(scored, split[name], records[name], stage, position.seconds, model)
    if stage.accelerator.is_main_process:
        save_model(model, stage)
        report.save(stage.folder)
        brief(stage.folder, split[name].table)
        discard(stage.folder / "start")
    stage.accelerator.wait_for_everyone()
    run = Run(model, report, stage.folder, stage.accelerator.is_main_process)
    chosen = stage.recipe.training.keep == "best"
    stage.talk.finished(run, name, position, chosen, *stage.task.closing(model, split[name], stage))
    return run
