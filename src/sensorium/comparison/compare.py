"""compare: every variant on every fold with every seed → which is better, and whether that is so."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from accelerate import Accelerator

from sensorium.comparison.fold_features import FoldFeatures, fill_features, prepare_encoders
from sensorium.comparison.fold_result import FoldResult, train_variant, variant_model
from sensorium.comparison.variants import Fold, Variant, make_folds, reads_tokens, variants
from sensorium.config.options import collect_options
from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.media.content import content_id
from sensorium.data.scan import leave_out
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.data.workers import map_in_order
from sensorium.errors import UserError, counted
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.evaluation.scoring import latency
from sensorium.files import discard, whole_file, writable, writing
from sensorium.heads import HEADS
from sensorium.metrics import (
    METRIC_KINDS,
    Difference,
    Resamples,
    Value,
    compare_all,
    distribution,
    holm,
    mean,
    measured,
    share,
)
from sensorium.nn.torch_state import usual_torch
from sensorium.reports.report import write_comparison_report
from sensorium.runs.folder import RunLayout, lock_folder, prepare_folder
from sensorium.runs.loaders import scan_records
from sensorium.runs.resolve import resolve_config
from sensorium.tasks import TASKS
from sensorium.tasks.base import Facts, RunContext, Source, Task
from sensorium.tasks.splits import Split, run_fingerprint
from sensorium.training.precision import choose_device, choose_precision, half_the_cores
from sensorium.training.state import run_mismatch_error

LAYOUT = RunLayout(
    "comparison",
    files=("recipe.yaml", "mark", "metrics.json", "scores.parquet", "bad_records.csv", "report.html"),
    folders=("encoders", "features", "cells", "training"),
    started_markers=("mark", "metrics.json"),
)


@dataclass(frozen=True)
class ComparisonSetup:
    """What all variants share: the records, their folds, how often each fold is gone through, whether any reads tokens,
    and which records are kept together, int64 [N] or None.
    """

    table: Table
    ids: dict[str, np.ndarray]
    facts: Facts
    folds: list[Fold]
    seeds: int
    tokens: bool
    families: np.ndarray | None


@usual_torch()
def compare(
    records: Source = None,
    out: str | Path = "runs/compare",
    *,
    target: str | Mapping[str, str | None] | None = None,
    fusion: str | Sequence[str] = "all",
    seeds: int = 1,
    folds: int = 5,
    workers: int = 0,
    group: str | None = None,
    key: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoders: Mapping[str, str | Mapping[str, Any]] | None = None,
    seed: int | None = None,
    bad_records: str | None = None,
    strict: bool | None = None,
    recipe: dict[str, Any] | str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Comparison:
    """Trains every variant on the same `folds` with the same `seeds`, and says which is better and whether that is
    more than chance.

    fusion: names, as "hybrid,gated", or "all". The recipe's (hybrid, unless it says otherwise), where it is among them,
    else the first, is also tried without each input.
    Each record is scored once a variant and seed, by a model that has not seen it nor its group. Encoders are not
    trained by the variants: pretrained ones stay as they are, others are trained once a fold, each by itself.
    workers: processes that train side by side, on a thread each; 0 trains in this one. The outcome is the same.
    All else, and any other of the `settings`, is as in `fit`. Raises UserError, and Interrupted.
    """
    options = collect_options(locals(), not_settings={"fusion", "seeds", "folds", "workers"})
    folder, task = writable(out), TASKS["supervised"]()
    # 1. The settings, the table, the variants, the folder.
    resolved = resolve_config(task, folder, recipe, options, resume)
    _check_recipe(resolved)
    if seeds < 1:
        raise UserError(f"There is at least one seed, and {seeds} is none; leave --seeds out for one.")
    accelerator = Accelerator(cpu=choose_device(resolved.training.device).type == "cpu")
    if accelerator.num_processes > 1:
        raise UserError("compare runs in one process; start it without accelerate launch or torchrun.")
    console = Console(quiet)
    precision, _ = choose_precision(resolved.training.precision, accelerator.device)
    table, resolved = task.open(records, resolved, console)
    if len(table.schema.targets) > 1:
        raise UserError("compare looks at one target at a time; name one with --target.")
    for spec in table.schema.targets:
        if TARGETS[spec.kind].scored_by == "loss":
            raise UserError(
                f"compare tells which decision is right, and '{spec.name}' is {spec.kind}, which is near or far; take"
                " fit, once for each fusion."
            )
    context = RunContext(folder, folder, resolved, accelerator, console, precision)
    compared = variants(fusion, table, resolved, console.print)
    with lock_folder(folder, LAYOUT), half_the_cores():
        prepare_folder(folder, resolved, LAYOUT, resume, overwrite)
        with writing(folder):
            (folder / "cells").mkdir(exist_ok=True)
        # 2. Every training.
        setup = _setup(table, folds, seeds, compared, context)
        _check_same_comparison(setup, context)
        console.print(
            f"{counted(len(compared), 'candidate')}, {folds} folds of {counted(len(setup.table), 'record')},"
            f" {counted(seeds, 'seed')}: {counted(len(compared) * folds * seeds, 'training')}."
        )
        results = list(_results(task, compared, setup, context, workers))
        comparison = _summarise(task, compared, setup, results, context)
        # 3. What it came to.
        comparison.save(folder)
        write_comparison_report(folder, comparison)
        for name in ("features", "training"):
            discard(folder / name)
        console.print_table(comparison)
        console.print(f"Saved in {folder}: metrics.json, scores.parquet, report.html, cells/.")
    return comparison


def _check_recipe(recipe: Recipe) -> None:
    """Refuses what a comparison would leave out without a word. Raises UserError."""
    if recipe.data.test is not None or recipe.data.split is not None or recipe.budget is not None:
        raise UserError("compare scores every record once, by folds; leave --test, --split and --budget out.")
    if recipe.start_from is not None or recipe.begin_with or recipe.teacher is not None or recipe.objectives:
        raise UserError("compare trains from the start, by the target alone; leave --from, --teacher and --align out.")
    for name, target in recipe.targets.items():
        if getattr(HEADS.get(target.head), "writes", False):
            raise UserError(
                f"compare tries fusions of every kind and leaves inputs out, and the head '{target.head}' of '{name}'"
                f" needs tokens and a text; compare with the head frequent, by leaving head={target.head} out."
            )
    for name, settings in recipe.inputs.items():
        if settings.shares is not None or settings.adapter is not None or settings.views > 1:
            raise UserError(
                f"compare trains the encoder of '{name}' by itself or not at all, and keeps one view of each record;"
                " leave shares, adapter and views out."
            )


def _setup(table: Table, count: int, seeds: int, compared: list[Variant], context: RunContext) -> ComparisonSetup:
    """The records that have the target, and their folds."""
    table, ids, facts, families = scan_records(table, context)
    (target,) = table.schema.targets
    has_target = ~pd.isna(table.cells(target.name, target.kind))
    if not has_target.all():
        path = context.run_folder / "bad_records.csv"
        leave_out(table, ~has_target, target.name, "it has no target, so it cannot be scored", path)
        left_out = counted(int((~has_target).sum()), "record")
        context.console.print(f"{left_out} without '{target.name}' left out; {path} lists them.")
    table, ids = table.take(has_target), {name: values[has_target] for name, values in ids.items()}
    families = None if families is None else families[has_target]
    folds = make_folds(table, count, context.recipe, families)
    return ComparisonSetup(table, ids, facts, folds, seeds, reads_tokens(compared, context.recipe), families)


def _check_same_comparison(setup: ComparisonSetup, context: RunContext) -> None:
    """Checks that what is gone on with is the same comparison. Raises UserError."""
    split = Split("whole", setup.table, setup.ids)
    fingerprint = f"{run_fingerprint({'whole': split}, context.recipe)} {len(setup.folds)}"
    if setup.families is not None:
        fingerprint += f" {content_id(setup.families)}"
    path = context.run_folder / "mark"
    if path.exists() and path.read_text() != fingerprint:
        raise run_mismatch_error(context.run_folder)
    with whole_file(path) as new:
        new.write_text(fingerprint)


def _results(
    task: Task, compared: list[Variant], setup: ComparisonSetup, context: RunContext, workers: int
) -> Iterator[tuple[Variant, int, FoldResult]]:
    """Every variant on every fold with every seed: from the folder, where it was trained before."""
    trainings = [(variant, seed) for seed in range(setup.seeds) for variant in compared]
    cells = context.run_folder / "cells"
    with context.console.progress("Trainings", len(trainings) * len(setup.folds)) as advance:
        for index, fold in enumerate(setup.folds):
            paths = [cells / f"{index}-{seed}-{variant.name.replace('/', '_')}.json" for variant, seed in trainings]
            missing = [pair for pair in zip(trainings, paths, strict=True) if not pair[1].exists()]
            advance(len(trainings) - len(missing))
            if missing:
                features = _fold_features(task, setup, index, fold, context)
                fill_features(features, setup.tokens, context)
                light = features.without_encoders()
                work = partial(_train_and_save, light, context.run_folder, context.recipe, context.precision)
                for _ in map_in_order(work, missing, workers, "spawn"):
                    advance(1)
            for (variant, seed), path in zip(trainings, paths, strict=True):
                yield variant, seed, FoldResult.load(path)


def _train_and_save(
    features: FoldFeatures, folder: Path, recipe: Recipe, precision: str, training: tuple[tuple[Variant, int], Path]
) -> None:
    """Trains one variant on a fold and saves the result; in a process of its own, or in this one."""
    (variant, seed), path = training
    accelerator = Accelerator(cpu=choose_device(recipe.training.device).type == "cpu")
    context = RunContext(folder, folder, recipe, accelerator, Console(quiet=True), precision)
    task = TASKS["supervised"]()
    train_variant(task, variant, seed, features, folder / "training" / path.stem, context).save(path)


def _fold_features(task: Task, setup: ComparisonSetup, index: int, fold: Fold, context: RunContext) -> FoldFeatures:
    discard(context.run_folder / "training")  # of trainings that were killed
    folder = context.run_folder / "encoders" / str(index)
    features = FoldFeatures(setup.table, setup.ids, fold)
    return prepare_encoders(task, features, setup.facts, setup.tokens, folder, context)


def _summarise(
    task: Task,
    compared: list[Variant],
    setup: ComparisonSetup,
    results: list[tuple[Variant, int, FoldResult]],
    context: RunContext,
) -> Comparison:
    """All results as one comparison: each record's score is the mean over the seeds."""
    (target,) = setup.table.schema.targets
    rows, groups = len(setup.table), setup.table.groups
    scores = {variant.name: np.zeros(rows) for variant in compared}
    prior = {variant.name: np.zeros(rows) for variant in compared}
    for variant, _, result in results:
        scores[variant.name][result.rows] += np.array(result.scores[target.name]) / setup.seeds
        prior[variant.name][result.rows] += np.array(result.prior[target.name]) / setup.seeds
    resamples = Resamples(rows, groups, seed=context.recipe.seed)
    between_0_and_1 = all(values.min() >= 0 for values in scores.values())
    score_metrics = {name: (share if between_0_and_1 else mean)(values) for name, values in scores.items()}
    drawn = distribution(score_metrics, resamples)
    features = _fold_features(task, setup, 0, setup.folds[0], context)
    contenders = []
    for variant in compared:
        chance = float(prior[variant.name].mean())
        value = measured(score_metrics[variant.name], drawn[variant.name], resamples, chance)
        own_results = [result for other, _, result in results if other is variant]
        contenders.append(_contender(variant, value, own_results, features, context))
    contenders.sort(key=lambda contender: -contender.value.value)
    return Comparison(
        target=target.name,
        measure=METRIC_KINDS[target.kind].score_name,
        records=rows,
        clusters=resamples.units,
        group=setup.table.schema.group,
        folds=len(setup.folds),
        seeds=setup.seeds,
        contenders=contenders,
        differences=_differences(contenders, scores, groups, context.recipe.seed),
        samples=_samples(setup.table, {contender.name: scores[contender.name] for contender in contenders}),
    )


def _contender(
    variant: Variant, value: Value, results: list[FoldResult], features: FoldFeatures, context: RunContext
) -> Contender:
    """A variant with what it reached and what it costs."""
    model, _ = variant_model(variant, 0, features, context)
    milliseconds = latency(model, features.split("test", variant.inputs).table)["p50"]
    seconds = float(np.median([result.seconds for result in results]))
    diverged = sum(result.state == "diverged" for result in results)
    parameters = results[0].parameters
    return Contender(variant.name, variant.fusion, variant.without, value, parameters, seconds, milliseconds, diverged)


def _differences(
    contenders: list[Contender], scores: dict[str, np.ndarray], groups: np.ndarray | None, seed: int
) -> list[Difference]:
    """Two questions, each corrected for its own comparisons: which way of fusing is better, and what an input is worth
    (a way of fusing against itself without the input)."""
    with_all_inputs = {one.name: scores[one.name] for one in contenders if one.without is None}
    between_fusions = compare_all(with_all_inputs, groups, seed=seed)
    pairs = [(one.name, one.fusion) for one in contenders if one.without is not None]
    of_inputs = [compare_all({a: scores[a], b: scores[b]}, groups, seed=seed)[0] for a, b in pairs]
    corrected = holm(np.array([difference.p for difference in of_inputs]))
    return between_fusions + [
        difference._replace(corrected=float(p)) for difference, p in zip(of_inputs, corrected, strict=True)
    ]


def _samples(table: Table, scores: dict[str, np.ndarray]) -> pa.Table:
    keys, groups = table.keys, table.groups
    tables = [
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
    return pa.concat_tables(tables)
