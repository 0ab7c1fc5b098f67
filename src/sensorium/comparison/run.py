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

from sensorium.comparison.cell import MEASURES, FoldResult, train, variant_model
from sensorium.comparison.plan import Fold, Variant, folds, reads_tokens, variants
from sensorium.comparison.prepared import Facts, FoldFeatures, fill, prepare
from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.table import Table
from sensorium.data.workers import map_in_order
from sensorium.errors import UserError, counted
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.evaluation.scoring import latency
from sensorium.files import discard, whole_file, writing
from sensorium.metrics import Difference, Resamples, compare_all, distribution, holm, mean, point, summary
from sensorium.reports.report import write_comparison_report
from sensorium.runs.folder import RunLayout, prepare_folder
from sensorium.runs.resolve import resolve_config
from sensorium.runs.stages import RunContext, scan_records
from sensorium.tasks.splits import Split, fingerprint_splits
from sensorium.tasks.tasks import task_for
from sensorium.training.precision import choose_device, choose_precision, half_the_cores
from sensorium.training.state import run_mismatch_error

MADE = RunLayout(
    "comparison",
    files=("recipe.yaml", "mark", "metrics.json", "scores.parquet", "bad_records.csv", "report.html"),
    folders=("encoders", "features", "cells", "training"),
    begun=("mark", "metrics.json"),
)


@dataclass(frozen=True)
class ComparisonSetup:
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
    task = task_for(None)
    asked = resolve_config(task, folder, recipe, options, resume)
    _check(asked)
    if seeds < 1:
        raise UserError(f"There is at least one seed, and {seeds} is none; leave --seeds out for one.")
    accelerator = Accelerator(cpu=choose_device(asked.training.device).type == "cpu")
    if accelerator.num_processes > 1:
        raise UserError("compare runs in one process; start it without accelerate launch or torchrun.")
    console = Console(quiet)
    precision, _ = choose_precision(asked.training.precision, accelerator.device)
    table, asked = task.open(records, asked, console)
    if len(table.schema.targets) > 1:
        raise UserError("compare looks at one target at a time; name one with --target.")
    context = RunContext(folder, asked, accelerator, console, precision, root=folder)
    chosen = variants(fusion, table, asked, console.print)
    prepare_folder(folder, asked, MADE, resume, overwrite)
    with writing(folder):
        (folder / "cells").mkdir(exist_ok=True)
    with half_the_cores():
        ground = _ground(table, folds, seeds, chosen, context)
        _check_mark(ground, chosen, context)
        console.print(
            f"{counted(len(chosen), 'candidate')}, {folds} folds of {counted(len(ground.table), 'record')},"
            f" {counted(seeds, 'seed')}: {counted(len(chosen) * folds * seeds, 'training')}."
        )
        found = _summed(chosen, ground, list(_cells(chosen, ground, context, workers)), context)
    found.save(folder)
    write_comparison_report(folder, found)
    for name in ("features", "training"):
        discard(folder / name)
    console.print_table(found)
    console.print(f"Saved in {folder}: metrics.json, scores.parquet, report.html, cells/.")
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


def _ground(table: Table, count: int, seeds: int, chosen: list[Variant], context: RunContext) -> ComparisonSetup:
    table, ids, facts = scan_records(table, context)
    (target,) = table.schema.targets
    known = ~pd.isna(table.cells(target.name, target.kind))
    table, ids = table.take(known), {name: values[known] for name, values in ids.items()}
    return ComparisonSetup(
        table, ids, facts, folds(table, count, context.recipe), seeds, reads_tokens(chosen, context.recipe)
    )


def _check_mark(ground: ComparisonSetup, chosen: list[Variant], context: RunContext) -> None:
    """Sees to it that what is gone on with is the same comparison. Raises UserError."""
    whole = Split("whole", ground.table, ground.ids)
    mark = f"{fingerprint_splits({'whole': whole}, context.recipe)} {len(ground.folds)}"
    path = context.folder / "mark"
    if path.exists() and path.read_text() != mark:
        raise run_mismatch_error(context.folder)
    with whole_file(path) as new:
        new.write_text(mark)


def _cells(
    chosen: list[Variant], ground: ComparisonSetup, context: RunContext, workers: int
) -> Iterator[tuple[Variant, int, FoldResult]]:
    """Every candidate on every fold with every seed: from the folder, where it was trained before."""
    each = [(one, seed) for seed in range(ground.seeds) for one in chosen]
    with context.console.progress("Trainings", len(each) * len(ground.folds)) as advance:
        for place, fold in enumerate(ground.folds):
            paths = [
                context.folder / "cells" / f"{place}-{seed}-{one.name.replace('/', '_')}.json" for one, seed in each
            ]
            left = [item for item in zip(each, paths, strict=True) if not item[1].exists()]
            advance(len(each) - len(left))
            if left:
                prepared = _prepared(ground, place, fold, context)
                fill(prepared, ground.tokens, context)
                light = prepared.features_alone()
                work = partial(_fill, light, context.folder, context.recipe, context.precision)
                for _ in map_in_order(work, left, workers, "spawn"):
                    advance(1)
            for (one, seed), path in zip(each, paths, strict=True):
                yield one, seed, FoldResult.load(path)


def _fill(
    prepared: FoldFeatures, folder: Path, recipe: Recipe, precision: str, item: tuple[tuple[Variant, int], Path]
) -> None:
    """Trains one cell and saves it; in a process of its own, or in this one."""
    (one, seed), path = item
    accelerator = Accelerator(cpu=choose_device(recipe.training.device).type == "cpu")
    context = RunContext(folder, recipe, accelerator, Console(quiet=True), precision, root=folder)
    train(one, seed, prepared, folder / "training" / path.stem, context).save(path)


def _prepared(ground: ComparisonSetup, place: int, fold: Fold, context: RunContext) -> FoldFeatures:
    discard(context.folder / "training")  # of cells that were killed
    folder = context.folder / "encoders" / str(place)
    return prepare(FoldFeatures(ground.table, ground.ids, fold), ground.facts, ground.tokens, folder, context)


def _summed(
    chosen: list[Variant], ground: ComparisonSetup, cells: list[tuple[Variant, int, FoldResult]], context: RunContext
) -> Comparison:
    """All cells as one comparison: each record's score is the mean over the seeds."""
    (target,) = ground.table.schema.targets
    rows = len(ground.table)
    scores = {one.name: np.zeros(rows) for one in chosen}
    prior = {one.name: np.zeros(rows) for one in chosen}
    for one, _, cell in cells:
        scores[one.name][cell.rows] += np.array(cell.scores[target.name]) / ground.seeds
        prior[one.name][cell.rows] += np.array(cell.prior[target.name]) / ground.seeds
    resamples = Resamples(rows, ground.table.groups, seed=context.recipe.seed)
    drawn = distribution({name: mean(values) for name, values in scores.items()}, resamples)
    prepared = _prepared(ground, 0, ground.folds[0], context)
    contenders = []
    for one in chosen:
        mine = [cell for other, _, cell in cells if other is one]
        value = summary(
            point(mean(scores[one.name]), rows), drawn[one.name], resamples.units, float(prior[one.name].mean())
        )
        few = prepared.part("test", one.inputs).table
        taken = latency(variant_model(one, 0, prepared, context)[0], few)["p50"]
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
        differences=_differences(contenders, scores, ground.table.groups, context.recipe.seed),
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
