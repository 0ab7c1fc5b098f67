"""evaluate_targets: a model and a table of records → a report."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensorium.data.scan import WAYS_WITH_BAD_RECORDS, drop_bad_records, scan
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.errors import UserError, check_known, counted
from sensorium.evaluation.baselines import Scored, non_visual_inputs
from sensorium.evaluation.coalitions import Coalition, coalitions
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.evaluation.report import Report
from sensorium.evaluation.rivals import Training
from sensorium.evaluation.samples import samples
from sensorium.evaluation.saving import save_evaluation
from sensorium.evaluation.scoring import Scores, latency, rows_of, score
from sensorium.evaluation.target import TargetReport, report_target
from sensorium.evaluation.writing import Writing
from sensorium.features import Batch
from sensorium.metrics import Resamples
from sensorium.metrics.kinds import check_measurable
from sensorium.model import Model


def evaluate_targets(
    model: Model,
    table: Table,
    *,
    batches: Iterable[Batch] | None = None,
    out: str | Path | None = None,
    bad_records: str = "stop",
    seed: int = 0,
    resamples: int = 2000,
    train_seconds: float | None = None,
    training: Training | None = None,
) -> Report:
    """How good `model` is on `table`, and what each of its inputs is worth; saved to the folder `out` when given.

    batches: the records of `table` in its order, when they are at hand, from a feature cache say; else made here.
    bad_records: "stop" at a file that cannot be read, or "skip" such records, counted and listed in bad_records.csv;
    not asked when `batches` are given. seed: of the `resamples` bootstrap resamples behind every interval, which are
    drawn by group when the table has groups. train_seconds: only handed on to the report.
    training: what the model learned from, for the baselines that have to learn.
    Raises UserError when the table has no target, when no record has one, and as reading and decoding do.
    """
    check_known(WAYS_WITH_BAD_RECORDS, "way with bad records", bad_records)
    table, bad = model.read(table), []
    targets = _targets(model, table)
    if batches is None and bad_records != "stop":
        scanned = scan(table)
        table, bad = drop_bad_records(table, scanned, bad_records)[0], scanned.bad
    inputs = tuple(spec.name for spec in model.schema.inputs)
    subsets = [*coalitions(inputs), non_visual_inputs(model.schema.inputs)]
    writing = Writing(model, table, inputs)
    scores = score(model, model.batches(table) if batches is None else batches, subsets, writing)
    if scores.keys != list(table.keys):
        raise ValueError("the batches to evaluate are not the records of the table, in its order")
    for coalition, by_target in scores.predictions.items():
        for name, prediction in by_target.items():
            prediction |= writing.columns(coalition, name)
    targets = [target for target in targets if scores.targets[target.name]["mask"].any()]
    if not targets:
        names = ", ".join(target.name for target in model.schema.targets)
        raise UserError(
            f"None of the {counted(len(table), 'record')} has a target ({names}),"
            " so there is nothing to evaluate; fill it in."
        )
    report = Report(
        targets=[_report_of(target, scores, table, training, inputs, resamples, seed) for target in targets],
        records=len(table),
        present={name: int(scores.present[name].sum()) for name in inputs},
        bad=len({error.row for error in bad}),
        cost=_cost(model, table, train_seconds),
        samples=samples(scores, table, targets, inputs),
    )
    save_evaluation(report, bad, out)
    return report


def _targets(model: Model, table: Table) -> list[TargetSpec]:
    """The model's targets that the table has a column for."""
    names = [target.name for target in model.schema.targets]
    if not len(table):
        raise UserError(f"{table.source} has no records, so there is nothing to evaluate.")
    targets = [target for target in model.schema.targets if target.name in table.frame.columns]
    for target in targets:
        check_measurable(target.kind)
    if not targets:
        raise UserError(
            f"{table.source} has none of the model's target columns ({', '.join(names)}), so there is nothing to"
            " compare with; add one, or use predict."
        )
    return targets


def _report_of(
    target: TargetSpec,
    scores: Scores,
    table: Table,
    training: Training | None,
    inputs: Coalition,
    count: int,
    seed: int,
) -> TargetReport:
    """Everything about one target, from the records that have it."""
    has_target = scores.targets[target.name]["mask"]
    truth = rows_of(scores.targets[target.name], has_target)
    predictions = {
        coalition: rows_of(by_target[target.name], has_target) for coalition, by_target in scores.predictions.items()
    }
    clusters = None if table.groups is None else table.groups[has_target]
    resamples = Resamples(int(has_target.sum()), clusters, count, seed)
    report = report_target(target, truth, predictions, inputs, resamples)
    columns, records = TARGET_COLUMNS[target.kind], table.take(has_target)
    scored = Scored(target, records, truth, predictions, resamples)
    written = getattr(columns, "written", None)
    return replace(
        report,
        baselines=columns.baselines(scored, training),
        written=None if written is None else written(scored),
        types=columns.breakdowns(target, records, truth, predictions[inputs], seed),
    )


def _cost(model: Model, table: Table, train_seconds: float | None) -> dict[str, Any]:
    cost: dict[str, Any] = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    if train_seconds is not None:
        cost["train_seconds"] = train_seconds
    return cost | {"latency_ms": {"batch_1": latency(model, table)}}
