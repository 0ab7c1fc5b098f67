"""A run: from a table and a recipe to a trained, evaluated, saved model in a folder; resumable at any moment."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accelerate import Accelerator, InitProcessGroupKwargs

from sensorium.data.loading import Records
from sensorium.data.schema import MEDIA
from sensorium.data.shards import dealt
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation import Report, evaluate
from sensorium.features import Batch
from sensorium.files import discard, writing
from sensorium.model import Model
from sensorium.recipe.defaults import complete
from sensorium.recipe.memory import compare, sort_out
from sensorium.recipe.parts import Part, fingerprint, parts
from sensorium.recipe.records import records_of, share
from sensorium.recipe.settings import Recipe
from sensorium.recipe.source import open_table, settle
from sensorium.recipe.stages import Stage, choose, look_once, refit, untrained
from sensorium.recipe.talk import Talk
from sensorium.recipe.tuning import cached
from sensorium.training.precision import choose_device, choose_precision, half_the_cores
from sensorium.training.state import Position
from sensorium.training.validation import calibrate

EVALUATION_BATCH = 256
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
    recipe: a nested dict of settings or a YAML file; `options` (see `sensorium.recipe.options.apply`) lie over it.
    resume: goes on where a stopped or killed run in `out` stood, to the same bits. overwrite: replaces a run in `out`.
    Raises UserError for anything the user can mend, and Interrupted after Ctrl-C, once the state is saved.
    """
    folder = Path(out)
    begun = (folder / "recipe.yaml").exists()
    asked = settle(folder, recipe, options, resume)
    accelerator = Accelerator(cpu=choose_device(asked.training.device).type == "cpu", kwargs_handlers=[PATIENT])
    stage = Stage(folder, asked, accelerator, Talk(quiet or not accelerator.is_main_process))
    table, asked = open_table(records, asked, stage.talk)
    if accelerator.num_processes > 1:
        stage.talk.say(f"{accelerator.num_processes} processes train as one.")
    if accelerator.is_main_process:
        _prepare(folder, asked, resume, overwrite)
    accelerator.wait_for_everyone()
    if resume and not begun:
        stage.talk.say(f"There is no run in {folder} yet, so this one begins from the start.")
    with half_the_cores():
        return carry_out(table, replace(stage, recipe=asked))


def _prepare(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Makes the run's folder and puts the recipe in it. Raises UserError when a run is there already."""
    if resume and overwrite:
        raise UserError("--resume goes on with a run and --overwrite replaces it; leave one of the two out.")
    # A recipe alone is left by a run that found a mistake in the records: the mended command may follow it.
    taken = any((folder / name).exists() for name in ("start", "last", "model"))
    if taken and not (resume or overwrite):
        raise UserError(
            f"{folder} holds a run already; add --resume to go on with it, --overwrite to replace it, "
            "or choose another --out."
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if taken and overwrite:
            for name in ("recipe.yaml", "metrics.json", "scores.parquet", "log.csv", "bad_records.csv"):
                (folder / name).unlink(missing_ok=True)
            for name in ("start", "last", "refit", "model", "features"):
                discard(folder / name)
    if not (resume and (folder / "recipe.yaml").exists()):
        recipe.save(folder / "recipe.yaml")


def carry_out(table: Table, stage: Stage) -> Run:
    """All stages of a run, each leaving in the folder what the next one needs."""
    table, ids, facts = look_once(table, stage)
    table, ids, seen, memory = sort_out(table, ids, stage.recipe, stage.talk)
    stage = replace(stage, memory=memory)
    split = parts(table, ids, stage.recipe, seen)
    # The choice of workers alone waits for the model, and they are no part of what a run is known by.
    mark = fingerprint(split, complete(stage.recipe, len(split["train"].table), False))
    model = untrained(split["train"].table, facts, mark, stage)
    precision, reason = choose_precision(stage.recipe.training.precision, stage.accelerator.device)
    kept = cached(model, stage.recipe)
    reads = any(encoder.modality in MEDIA and name not in kept for name, encoder in model.encoders.items())
    recipe = complete(stage.recipe, len(split["train"].table), reads)
    stage = replace(stage, recipe=recipe, precision=precision)
    if stage.accelerator.is_main_process:
        recipe.save(stage.folder / "recipe.yaml")
    stage.talk.plan(
        recipe, model, {name: len(part.table) for name, part in split.items() if name != "known"}, precision, reason
    )
    if table.shards:
        stage.talk.say(dealt(table.shards, len(table), stage.accelerator.num_processes, recipe.training.workers or 0))
    model.to(stage.accelerator.device)
    records = {name: records_of(model, split[name], kept, stage) for name in ("known", "test") if name in split}
    records |= {name: share(records["known"], split[name]) for name in ("train", "validation")}
    chosen = choose(model, records, mark, stage)
    calibrate(model, records["validation"])
    if not recipe.training.refit:
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
        report = evaluate(
            scored,
            split[name].table,
            batches=_in_order(records[name], scored),
            seed=stage.recipe.seed,
            train_seconds=position.seconds,
        )
        if stage.memory is not None:
            report = replace(report, forgetting=compare(stage.memory, stage.recipe, model, stage.talk))
    if stage.accelerator.is_main_process:
        model.save(stage.folder / "model")
        report.save(stage.folder)
        discard(stage.folder / "start")
    stage.accelerator.wait_for_everyone()
    run = Run(model, report, stage.folder, stage.accelerator.is_main_process)
    stage.talk.finished(run, split[name].table, name, position)
    return run


def _in_order(records: Records, model: Model) -> Iterator[Batch]:
    for start in range(0, len(records), EVALUATION_BATCH):
        yield records.batch(np.arange(start, min(start + EVALUATION_BATCH, len(records)))).to(model.device)
