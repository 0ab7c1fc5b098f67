"""A run: from a table and a recipe to a trained, evaluated, saved model in a folder; resumable at any moment."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accelerate import Accelerator, InitProcessGroupKwargs

from sensorium.data.loading import Records
from sensorium.data.scan import save_bad, scan, set_aside
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation import Report, evaluate
from sensorium.features import Batch
from sensorium.files import discard, writing
from sensorium.model import Model, is_frozen, load
from sensorium.objectives import Supervised
from sensorium.recipe.build import build
from sensorium.recipe.defaults import complete
from sensorium.recipe.parts import Part, fingerprint, parts
from sensorium.recipe.settings import Recipe, TargetSettings
from sensorium.recipe.source import open_table, settle
from sensorium.recipe.talk import Talk
from sensorium.training.cache import CacheJob, FeatureCache
from sensorium.training.learner import Learner
from sensorium.training.loop import Hooks, Training
from sensorium.training.precision import choose_device, choose_precision, half_the_cores
from sensorium.training.sampling import balanced
from sensorium.training.state import Position, changed, load_position
from sensorium.training.validation import calibrate, validator

EVALUATION_BATCH = 256
# One process fills the feature cache while the others wait, for hours maybe; one that dies ends the others anyhow.
PATIENT = InitProcessGroupKwargs(timeout=timedelta(days=7))


@dataclass
class Run:
    """A finished run: its model, its report, its folder."""

    model: Model
    report: Report
    folder: Path

    @property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return self.report.to_dict()


@dataclass(frozen=True)
class Stage:
    """What every stage of a run works with."""

    folder: Path
    recipe: Recipe
    accelerator: Accelerator
    talk: Talk
    precision: str = "fp32"


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

    records: a Table, a file (CSV, TSV, JSONL, Parquet), a pandas table or a list of dicts; None takes the recipe's
    file.
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
    table, ids, facts = _scan(table, stage)
    split = parts(table, ids, stage.recipe)
    # The choice of workers alone waits for the model, and they are no part of what a run is known by.
    mark = fingerprint(split, complete(stage.recipe, len(split["train"].table), False))
    model = _model(split["train"].table, facts, mark, stage)
    precision, reason = choose_precision(stage.recipe.training.precision, stage.accelerator.device)
    cached = [name for name, encoder in model.encoders.items() if stage.recipe.cache and is_frozen(encoder)]
    reads = any(encoder.modality in MEDIA and name not in cached for name, encoder in model.encoders.items())
    recipe = complete(stage.recipe, len(split["train"].table), reads)
    stage = replace(stage, recipe=recipe, precision=precision)
    if stage.accelerator.is_main_process:
        recipe.save(stage.folder / "recipe.yaml")
    stage.talk.plan(
        recipe, model, {name: len(part.table) for name, part in split.items() if name != "known"}, precision, reason
    )
    model.to(stage.accelerator.device)
    records = {name: _records(model, split[name], cached, stage) for name in ("known", "test") if name in split}
    records |= {name: _share(records["known"], split[name]) for name in ("train", "validation")}
    chosen = _choose(model, records, mark, stage)
    calibrate(model, records["validation"])
    if not recipe.training.refit:
        return _finish(model, model, split, records, chosen, stage)
    whole = _model(split["train"].table, facts, mark, stage).to(stage.accelerator.device)
    position = _refit(whole, model, records["known"], chosen, mark, stage)
    return _finish(whole, model, split, records, position, stage)


def _scan(table: Table, stage: Stage) -> tuple[Table, dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Looks at every file once; gives the records that can be used, their content ids, and facts about each input."""
    workers = stage.recipe.training.workers
    with stage.talk.busy("Reading every record once"):
        found = scan(table, 2 if workers is None else workers)
    used, found = set_aside(table, found, stage.recipe.data.bad_records)
    if found.bad and stage.accelerator.is_main_process:
        save_bad(found.bad, stage.folder / "bad_records.csv")
        stage.talk.say(f"{len(table) - len(used)} records set aside; {stage.folder / 'bad_records.csv'} says why.")
    return used, found.ids, found.facts


def _model(table: Table, facts: dict[str, dict[str, float]], mark: str, stage: Stage) -> Model:
    """The untrained model, built once and saved, so that a resumed run begins with the same.

    Raises UserError when the run began with other records or settings than those that `mark` names.
    """
    start = stage.folder / "start" / mark
    if stage.accelerator.is_main_process and not start.exists():
        last = load_position(stage.folder / "last")  # a finished run has no start any more
        if any(start.parent.glob("[!.]*")) or (last is not None and last.fingerprint != mark):
            raise changed(stage.folder)
        build(table, stage.recipe, facts).save(start)
    stage.accelerator.wait_for_everyone()
    model = load(start)
    for name, encoder in model.encoders.items():
        encoder.requires_grad_(not freezes(encoder, stage.recipe, name))
    return model


def freezes(encoder: Any, recipe: Recipe, name: str) -> bool:
    """Whether the encoder of input `name` stays as it is: as the recipe says, else when it is pretrained."""
    frozen = recipe.inputs[name].frozen if name in recipe.inputs else None
    return encoder.pretrained if frozen is None else frozen


def _records(model: Model, part: Part, cached: list[str], stage: Stage) -> Records:
    """The records of one part; the inputs of frozen encoders come as features from the cache, which is filled first."""
    stores: dict[str, FeatureCache] = {}
    for name in cached:
        processors = {name: model.encoders[name].processor}
        job = CacheJob(
            stage.folder / "features", name, model.encoders[name], Records(part.table, processors, part.ids),
            model.fusion.reads == "tokens", stage.precision,
        )  # fmt: skip
        size = job.bytes()
        if size > stage.recipe.cache_gigabytes * 1e9:
            stage.talk.say(
                f"Features of '{name}' would take {size / 1e9:.1f} GB, more than the setting cache_gigabytes: "
                "they are computed anew each epoch."
            )
            continue
        if stage.accelerator.is_main_process:
            with stage.talk.counting(f"Features of '{name}' ({size / 1e6:.1f} MB)", len(job.rows)) as advance:
                job.fill(stage.recipe.training.workers or 0, advance)
        stage.accelerator.wait_for_everyone()
        stores[name] = job.fill(0)
    processors = {name: encoder.processor for name, encoder in model.encoders.items()}
    return Records(part.table, processors, part.ids, stores, stage.recipe.seed)


def _share(known: Records, part: Part) -> Records:
    """The records of `part`, which are some of the `known` ones, with the same caches."""
    index = pd.Index(known.table.rows).get_indexer(part.table.rows)
    stores = {name: store.take(index) for name, store in known.stores.items()}
    return Records(part.table, known.processors, part.ids, stores, known.seed)


def _choose(model: Model, records: dict[str, Records], mark: str, stage: Stage) -> Position:
    """Training on the training records, to its end; the validation records choose the epoch."""
    training = _training(model, records["train"], stage.recipe, "last", mark, stage)
    training.hooks.validate = validator(records["validation"], stage.accelerator)
    return _run(training, "Training", stage)


def _refit(whole: Model, model: Model, known: Records, chosen: Position, mark: str, stage: Stage) -> Position:
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


def _training(model: Model, records: Records, recipe: Recipe, folder: str, mark: str, stage: Stage) -> Training:
    weights = {name: recipe.targets.get(name, TargetSettings()).weight for name in model.heads.names}
    objectives = [Supervised(name, weight) for name, weight in weights.items()]
    learner = Learner(model, objectives, recipe.training.modality_dropout, stage.precision)
    rates = {name: one.learning_rate for name, one in recipe.inputs.items() if one.learning_rate is not None}
    order = partial(balanced, records, recipe.seed) if recipe.training.sampling == "balanced" else None
    return Training(
        learner, records, recipe.training, stage.folder / folder, Hooks(order=order), mark, stage.accelerator, rates
    )


def _run(training: Training, what: str, stage: Stage) -> Position:
    with stage.talk.training(what, training.settings, len(training.records)) as report:
        training.hooks.report = report
        if training.resume():
            stage.talk.say(f"{what} goes on from epoch {training.position.epoch + 1}, step {training.position.step}.")
        return training.run()


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
    if stage.accelerator.is_main_process:
        model.save(stage.folder / "model")
        report.save(stage.folder)
        discard(stage.folder / "start")
    stage.accelerator.wait_for_everyone()
    run = Run(model, report, stage.folder)
    stage.talk.finished(run, split[name].table, name, position)
    return run


def _in_order(records: Records, model: Model) -> Iterator[Batch]:
    for start in range(0, len(records), EVALUATION_BATCH):
        yield records.batch(np.arange(start, min(start + EVALUATION_BATCH, len(records)))).to(model.device)
