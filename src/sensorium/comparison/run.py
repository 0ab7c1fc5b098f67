"""compare: every candidate on every fold with every seed → which is better, and whether that is so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from accelerate import Accelerator

from sensorium.comparison.cell import MEASURES, Cell, train, untrained
from sensorium.comparison.plan import Candidate, Fold, candidates, folds, reads_tokens
from sensorium.comparison.prepared import Facts, Prepared, fill, prepare
from sensorium.config.schema import Recipe
from sensorium.console import Talk
from sensorium.data.table import Table
from sensorium.data.workers import in_order
from sensorium.errors import UserError, counted
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.evaluation.scoring import latency
from sensorium.files import discard, whole_file, writing
from sensorium.metrics import Difference, Resamples, compare_all, distribution, holm, mean, point, summary
from sensorium.reports.report import brief_comparison
from sensorium.runs.folder import Made, claim
from sensorium.runs.resolve import settle
from sensorium.runs.stages import Stage, look_once
from sensorium.tasks.splits import Part, fingerprint
from sensorium.tasks.tasks import task_of
from sensorium.training.precision import choose_device, choose_precision, half_the_cores
from sensorium.training.state import changed

MADE = Made(
    "comparison",
    files=("recipe.yaml", "mark", "metrics.json", "scores.parquet", "bad_records.csv", "report.html"),
    folders=("encoders", "features", "cells", "training"),
    begun=("mark", "metrics.json"),
)


@dataclass(frozen=True)
class Ground:
    """What all candidates share: the records, their folds, and how often each fold is gone through."""

    table: Table
    ids: dict[str, np.ndarray]
    facts: Facts
    folds: list[Fold]
    seeds: int
    tokens: bool


def compare(
    records: Table | pd.DataFrame | list[dict] | str | Path | None = None,
    out: str | Path = "runs/compare",
    *,
    fusion: str | Sequence[str] = "all",
    seeds: int = 1,
    folds: int = 5,
    workers: int = 0,
    recipe: dict[str, Any] | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Comparison:
    """Trains every candidate on the same `folds` with the same `seeds`, and says which is better and whether that is
    more than chance.

    fusion: names, as "hybrid,gated", or "all". The recipe's (hybrid, unless it says otherwise), where it is among them,
    else the first, is also tried without each input.
    Each record is scored once a candidate and seed, by a model that has not seen it nor its group. Encoders are not
    trained by the candidates: pretrained ones stay as they are, others are trained once a fold, each by itself.
    workers: processes that train side by side, on a thread each; 0 trains in this one. They are spawned, so a script
    that asks for them has to begin its work under `if __name__ == "__main__"`. The outcome is the same.
    records, out, recipe, resume, overwrite and the `options` are as in `fit`. Raises UserError, and Interrupted.
    """
    folder = Path(out)
    task = task_of(None)
    asked = settle(task, folder, recipe, options, resume)
    _check(asked)
    if seeds < 1:
        raise UserError(f"There is at least one seed, and {seeds} is none; leave --seeds out for one.")
    accelerator = Accelerator(cpu=choose_device(asked.training.device).type == "cpu")
    if accelerator.num_processes > 1:
        raise UserError("compare runs in one process; start it without accelerate launch or torchrun.")
    talk = Talk(quiet)
    precision, _ = choose_precision(asked.training.precision, accelerator.device)
    table, asked = task.open(records, asked, talk)
    if len(table.schema.targets) > 1:
        raise UserError("compare looks at one target at a time; name one with --target.")
    stage = Stage(folder, asked, accelerator, talk, precision, root=folder)
    chosen = candidates(fusion, table, asked, talk.say)
    claim(folder, asked, MADE, resume, overwrite)
    with writing(folder):
        (folder / "cells").mkdir(exist_ok=True)
    with half_the_cores():
        ground = _ground(table, folds, seeds, chosen, stage)
        _check_mark(ground, chosen, stage)
        talk.say(
            f"{counted(len(chosen), 'candidate')}, {folds} folds of {counted(len(ground.table), 'record')},"
            f" {counted(seeds, 'seed')}: {counted(len(chosen) * folds * seeds, 'training')}."
        )
        found = _summed(chosen, ground, list(_cells(chosen, ground, stage, workers)), stage)
    found.save(folder)
    brief_comparison(folder, found)
    for name in ("features", "training"):
        discard(folder / name)
    talk.show(found)
    talk.say(f"Saved in {folder}: metrics.json, scores.parquet, report.html, cells/.")
    return found


def _check(recipe: Recipe) -> None:
    """Refuses what a comparison would leave out without a word. Raises UserError."""
    if recipe.data.test is not None or recipe.data.split is not None or recipe.budget is not None:
        raise UserError("compare scores every record once, by folds; leave --test, --split and --budget out.")
    if recipe.start_from is not None or recipe.begin_with or recipe.teacher is not None or recipe.objectives:
        raise UserError("compare trains from the start, by the target alone; leave --from, --teacher and --align out.")
    for name, one in recipe.targets.items():
        if one.head == "answer":
            raise UserError(
                f"compare tries fusions of every kind and leaves inputs out, and the head 'answer' of '{name}' needs"
                " tokens and a text; compare with the head frequent, by leaving head=answer out."
            )
    for name, one in recipe.inputs.items():
        if one.shares is not None or one.adapter is not None or one.views > 1:
            raise UserError(
                f"compare trains the encoder of '{name}' by itself or not at all, and keeps one view of each record;"
                " leave shares, adapter and views out."
            )


def _ground(table: Table, count: int, seeds: int, chosen: list[Candidate], stage: Stage) -> Ground:
    table, ids, facts = look_once(table, stage)
    (target,) = table.schema.targets
    known = ~pd.isna(table.cells(target.name, target.kind))
    table, ids = table.take(known), {name: values[known] for name, values in ids.items()}
    return Ground(table, ids, facts, folds(table, count, stage.recipe), seeds, reads_tokens(chosen, stage.recipe))


def _check_mark(ground: Ground, chosen: list[Candidate], stage: Stage) -> None:
    """Sees to it that what is gone on with is the same comparison. Raises UserError."""
    whole = Part("whole", ground.table, ground.ids)
    mark = f"{fingerprint({'whole': whole}, stage.recipe)} {len(ground.folds)}"
    path = stage.folder / "mark"
    if path.exists() and path.read_text() != mark:
        raise changed(stage.folder)
    with whole_file(path) as new:
        new.write_text(mark)


def _cells(
    chosen: list[Candidate], ground: Ground, stage: Stage, workers: int
) -> Iterator[tuple[Candidate, int, Cell]]:
    """Every candidate on every fold with every seed: from the folder, where it was trained before."""
    each = [(one, seed) for seed in range(ground.seeds) for one in chosen]
    with stage.talk.counting("Trainings", len(each) * len(ground.folds)) as advance:
        for place, fold in enumerate(ground.folds):
            paths = [stage.folder / "cells" / f"{place}-{seed}-{one.name.replace('/', '_')}.json" for one, seed in each]
            left = [item for item in zip(each, paths, strict=True) if not item[1].exists()]
            advance(len(each) - len(left))
            if left:
                prepared = _prepared(ground, place, fold, stage)
                fill(prepared, ground.tokens, stage)
                light = prepared.features_alone()
                work = partial(_fill, light, stage.folder, stage.recipe, stage.precision)
                for _ in in_order(work, left, workers, "spawn"):
                    advance(1)
            for (one, seed), path in zip(each, paths, strict=True):
                yield one, seed, Cell.load(path)


def _fill(
    prepared: Prepared, folder: Path, recipe: Recipe, precision: str, item: tuple[tuple[Candidate, int], Path]
) -> None:
    """Trains one cell and saves it; in a process of its own, or in this one."""
    (one, seed), path = item
    accelerator = Accelerator(cpu=choose_device(recipe.training.device).type == "cpu")
    stage = Stage(folder, recipe, accelerator, Talk(quiet=True), precision, root=folder)
    train(one, seed, prepared, folder / "training" / path.stem, stage).save(path)


def _prepared(ground: Ground, place: int, fold: Fold, stage: Stage) -> Prepared:
    discard(stage.folder / "training")  # of cells that were killed
    folder = stage.folder / "encoders" / str(place)
    return prepare(Prepared(ground.table, ground.ids, fold), ground.facts, ground.tokens, folder, stage)


def _summed(
    chosen: list[Candidate], ground: Ground, cells: list[tuple[Candidate, int, Cell]], stage: Stage
) -> Comparison:
    """All cells as one comparison: each record's score is the mean over the seeds."""
    (target,) = ground.table.schema.targets
    rows = len(ground.table)
    scores = {one.name: np.zeros(rows) for one in chosen}
    prior = {one.name: np.zeros(rows) for one in chosen}
    for one, _, cell in cells:
        scores[one.name][cell.rows] += np.array(cell.scores[target.name]) / ground.seeds
        prior[one.name][cell.rows] += np.array(cell.prior[target.name]) / ground.seeds
    resamples = Resamples(rows, ground.table.groups, seed=stage.recipe.seed)
    drawn = distribution({name: mean(values) for name, values in scores.items()}, resamples)
    prepared = _prepared(ground, 0, ground.folds[0], stage)
    contenders = []
    for one in chosen:
        mine = [cell for other, _, cell in cells if other is one]
        value = summary(
            point(mean(scores[one.name]), rows), drawn[one.name], resamples.units, float(prior[one.name].mean())
        )
        few = prepared.part("test", one.inputs).table
        taken = latency(untrained(one, 0, prepared, stage)[0], few)["p50"]
        seconds = float(np.median([cell.seconds for cell in mine]))
        diverged = sum(cell.state == "diverged" for cell in mine)
        contenders.append(
            Contender(one.name, one.fusion, one.without, value, mine[0].parameters, seconds, taken, diverged)
        )
    contenders.sort(key=lambda one: -one.value.value)
    return Comparison(
        target=target.name,
        measure=MEASURES[target.kind],
        records=rows,
        clusters=resamples.units,
        group=ground.table.schema.group,
        folds=len(ground.folds),
        seeds=ground.seeds,
        contenders=contenders,
        differences=_differences(contenders, scores, ground.table.groups, stage.recipe.seed),
        samples=_samples(ground.table, {one.name: scores[one.name] for one in contenders}),
    )


def _differences(
    contenders: list[Contender], scores: dict[str, np.ndarray], groups: np.ndarray | None, seed: int
) -> list[Difference]:
    """Two questions, each corrected for its own comparisons: which way of fusing is better, and what an input is worth
    (a way of fusing against itself without the input)."""
    whole = {one.name: scores[one.name] for one in contenders if one.without is None}
    fused = compare_all(whole, groups, seed=seed)
    pairs = [(one.name, one.fusion) for one in contenders if one.without is not None]
    worth = [compare_all({a: scores[a], b: scores[b]}, groups, seed=seed)[0] for a, b in pairs]
    corrected = holm(np.array([one.p for one in worth]))
    return fused + [one._replace(corrected=float(p)) for one, p in zip(worth, corrected, strict=True)]


def _samples(table: Table, scores: dict[str, np.ndarray]) -> pa.Table:
    keys, groups = table.keys, table.groups
    parts = [
        pa.table(
            {
                "key": pa.array(keys, pa.string()),
                "group": pa.nulls(len(keys), pa.string()) if groups is None else pa.array(groups, pa.string()),
                "candidate": pa.array([name] * len(keys), pa.string()),
                "score": pa.array(values, pa.float64()),
            }
        )
        for name, values in scores.items()
    ]
    return pa.concat_tables(parts)
