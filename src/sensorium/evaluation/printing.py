"""The report as tables that a person reads."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from sensorium.data.schema import TargetSpec
from sensorium.data.targets import TARGETS
from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.subgroups import Subgroups
from sensorium.evaluation.target import TargetReport
from sensorium.metrics import INTERVAL, ClassScores, Value

MOST_CLASSES_CROSSED = 12
MOST_CLASSES_LISTED = 30
RIVALS = {"commonest": "the usual answer to the question", "without_picture": "the model without the picture"}


def target_tables(report: TargetReport) -> Iterator[Any]:
    """The tables of one target: metrics, classes, confusion, inputs, and the sentence about them."""
    yield metric_table(f"{report.target.name}: {counted(report.records, 'record')}", report.all_metrics)
    if report.written is not None:
        yield Text(report.written.sentence)
    if report.baselines:
        yield baselines_table(report)
    for groups in report.types.values():
        yield subgroups_table(report.target, groups)
    if report.classes:
        yield classes_table(report.target, report.classes)
    if report.confusion is not None and len(report.confusion) <= MOST_CLASSES_CROSSED:
        yield confusion_table(report.target, report.confusion)
    yield _inputs_table(report)
    yield Text(f"{report.sentence}\n", style="bold")


def records_table(targets: list[TargetReport], count: int, present: dict[str, int], bad: int) -> Iterator[Any]:
    """How many of `count` records had each input and each target, and how many more were `bad`."""
    table = titled_table("Records", ["", "have it", "of"])
    with_target = {f"{report.target.name} (target)": report.records for report in targets}
    for name, count_with in (present | with_target).items():
        table.add_row(Text(name), str(count_with), str(count))
    yield table
    if bad:
        yield Text(f"{counted(bad, 'bad record')} {'was' if bad == 1 else 'were'} set aside and not counted.")


def cost_text(cost: dict[str, Any]) -> Text:
    """What the model costs: its size and how long a record takes."""
    times = cost["latency_ms"]["batch_1"]
    return Text(
        f"{counted(cost['parameters'], 'parameter')}; one record takes {times['p50']:.1f} ms (median; 95 % take"
        f" less than {times['p95']:.1f} ms), reading its files not counted."
    )


def metric_table(title: str, metrics: dict[str, Value]) -> Table:
    """Every metric with its interval and its chance level."""
    table = titled_table(title, ["metric", "value", INTERVAL, "chance"])
    for name, value in metrics.items():
        table.add_row(name, format_number(value.value), between(value), format_number(value.chance))
    return table


def baselines_table(report: TargetReport) -> Table:
    """What the model is compared with."""
    title = f"{report.target.name}: beside the baselines, by {report.metric}"
    table = titled_table(title, ["", "value", INTERVAL, "the model is above", INTERVAL])
    for name, baseline in report.baselines.items():
        value, above = baseline.value, baseline.above
        cells = [format_number(value.value), between(value), format_number(above.value), between(above)]
        table.add_row(RIVALS.get(name, name), *cells)
    return table


def gain_table(title: str, metrics: dict[str, Value], gain: dict[str, Value]) -> Table:
    """Every metric with its interval, and how much more it is than something else, with that one's."""
    table = titled_table(title, ["metric", "value", INTERVAL, "gain", INTERVAL])
    for name, value in metrics.items():
        table.add_row(
            name, format_number(value.value), between(value), format_number(gain[name].value), between(gain[name])
        )
    return table


def subgroups_table(spec: TargetSpec, subgroups: Subgroups) -> Table:
    """Each type of question or answer, the best first, and how far the best and the worst lie apart."""
    title = f"{spec.name}: by {subgroups.column}, {subgroups.metric}"
    table = titled_table(title, ["", "value", INTERVAL, "records"])
    for group in subgroups.groups:
        table.add_row(Text(group.name), format_number(group.value.value), between(group.value), str(group.records))
    gap = subgroups.gap
    caption = f"From best to worst {format_number(gap.value)} ({between(gap)}); p {format_number(subgroups.p)}."
    if subgroups.small:
        caption += f" {counted(subgroups.small, 'record')} of other types."
    table.caption, table.caption_justify = Text(caption), "left"
    return table


def classes_table(spec: TargetSpec, scores: dict[str, ClassScores]) -> Table:
    """The scores of each class or label; of very many the worst."""
    rows = list(scores.items())
    title = f"{spec.name}: each {'class' if TARGETS[spec.kind].single_label else 'label'}"
    if len(rows) > MOST_CLASSES_LISTED:
        title += f" (of {len(rows)} the {MOST_CLASSES_LISTED} with the lowest F1)"
        rows = sorted(rows, key=lambda row: row[1].f1)[:MOST_CLASSES_LISTED]
    table = titled_table(title, ["label", "precision", "recall", "F1", "records"])
    for label, scores in rows:
        table.add_row(
            Text(label),
            format_number(scores.precision),
            format_number(scores.recall),
            format_number(scores.f1),
            str(scores.support),
        )
    return table


def confusion_table(spec: TargetSpec, counts: np.ndarray) -> Table:
    """How often each class, a row, was taken for each, a column: int [K, K]."""
    table = titled_table(f"{spec.name}: truth (row), decision (column)", ["", *spec.labels])
    for row_index, (label, row) in enumerate(zip(spec.labels, counts, strict=True)):
        cells = [Text(str(count), style="bold" if row_index == column else "") for column, count in enumerate(row)]
        table.add_row(Text(label), *cells)
    return table


def _inputs_table(report: TargetReport) -> Table:
    contributions = report.judgement
    headers = ["input", "alone", INTERVAL, "left out", INTERVAL, "Shapley", INTERVAL]
    table = titled_table(f"{report.target.name}: what each input is worth, by {contributions.metric}", headers)
    for name, contribution in contributions.inputs.items():
        cells = [Text(name)]
        for value in (contribution.alone, contribution.without, contribution.shapley or Value(None, None, None)):
            cells += [format_number(value.value), between(value)]
        table.add_row(*cells)
    caption = f"All inputs: {format_number(contributions.all.value)}; none: {format_number(contributions.none.value)}. "
    caption += "Over all records: who lacks an input gets the training prior in its place."
    if any(contribution.shapley is None for contribution in contributions.inputs.values()):
        caption += " Shapley values are left out: there are more than six inputs."
    table.caption, table.caption_justify = Text(caption), "left"
    return table


def titled_table(title: str, headers: list[str], words: int = 1) -> Table:
    """A table whose first columns, so many, are words and the rest figures."""
    table = Table(title=Text(title, style="italic"), title_justify="left")
    for index, header in enumerate(headers):
        table.add_column(Text(header), justify="left" if index < words else "right")
    return table


def between(value: Value) -> str:
    """The interval of a value; nothing when it has none."""
    return "" if value.low is None else f"{format_number(value.low)} to {format_number(value.high)}"
