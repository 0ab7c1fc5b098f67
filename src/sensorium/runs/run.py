"""fit and pretrain: from a table and a recipe to a trained, evaluated, saved model in a folder; resumable."""

import atexit
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator, InitProcessGroupKwargs

from sensorium.config.presets import expand_family
from sensorium.console import Console
from sensorium.data.table import Table
from sensorium.errors import unknown
from sensorium.families import FAMILIES
from sensorium.runs.folder import RunLayout, prepare_folder
from sensorium.runs.pipeline import run_pipeline
from sensorium.runs.resolve import resolve_config
from sensorium.tasks import TASKS
from sensorium.tasks.base import Run, RunContext, Task
from sensorium.training.precision import choose_device, half_the_cores

LAYOUT = RunLayout(
    "run",
    files=(
        "recipe.yaml", "metrics.json", "scores.parquet", "log.csv", "bad_records.csv", "search.csv", "search.json",
        "report.html", "measured.json",
    ),
    folders=("start", "last", "refit", "model", "features", "search"),
    started_markers=("start", "last", "model", "search", "search.json"),
)  # fmt: skip
# One process fills the feature cache while the others wait, for hours maybe; one that dies ends the others anyhow.
PATIENT = InitProcessGroupKwargs(timeout=timedelta(days=7))
Source = Table | pd.DataFrame | list[dict] | str | Path | None


def fit(
    records: Source = None,
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
    recipe: a nested dict of settings or a YAML file; `options` (see `sensorium.config.options.apply_options`) lie over
    it. With `family="albef"`, `image`, `question` and `answer` name columns, and the family's settings lie under both.
    resume: goes on where a stopped or killed run in `out` stood, to the same bits. overwrite: replaces a run in `out`.
    Raises UserError for anything the user can mend, and Interrupted after Ctrl-C, once the state is saved.
    """
    recipe, options = expand_family(recipe, options)
    return start_run(TASKS["supervised"](), records, Path(out), recipe, options, resume, overwrite, quiet)


def pretrain(
    family: str,
    records: Source = None,
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
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    return start_run(TASKS["contrastive"](family), records, Path(out), recipe, options, resume, overwrite, quiet)


def start_run(
    task: Task,
    records: Source,
    folder: Path,
    recipe: dict[str, Any] | str | Path | None,
    options: dict[str, Any],
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> Run:
    """Resolves the settings, opens the table, prepares the folder, and runs the pipeline."""
    started = time.monotonic()
    begun_before = (folder / "recipe.yaml").exists()
    resolved = resolve_config(task, folder, recipe, options, resume)
    accelerator = Accelerator(cpu=choose_device(resolved.training.device).type == "cpu", kwargs_handlers=[PATIENT])
    console = Console(quiet or not accelerator.is_main_process)
    table, resolved = task.open(records, resolved, console)
    if accelerator.num_processes > 1:
        atexit.register(accelerator.end_training)  # threads of gloo that still run at the end abort the process
        console.print(f"{accelerator.num_processes} processes train as one.")
    if accelerator.is_main_process:
        prepare_folder(folder, resolved, LAYOUT, resume, overwrite)
    accelerator.wait_for_everyone()
    if resume and not begun_before:
        console.print(f"There is no run in {folder} yet, so this one begins from the start.")
    context = RunContext(folder, folder, resolved, accelerator, console)
    with half_the_cores():
        return run_pipeline(task, table, context, started)
