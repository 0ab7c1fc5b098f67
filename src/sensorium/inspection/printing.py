"""A look at a table as a person reads it: tables, small histograms, findings by how grave they are."""

from collections import Counter

from rich.console import Console
from rich.table import Table as Printed

from sensorium.data.finding import SEVERITIES
from sensorium.errors import counted
from sensorium.inspection.estimate import Plan
from sensorium.inspection.inspect import Inspection

_MOST_OF_A_KIND = 50  # findings that are printed
_MOST_CLASSES, _ENDS = 25, 12
_BAR = 30


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Prints all of it."""
    console.print(inspection.table.describe())
    if any(column.absent for column in inspection.table.schema.columns):
        console.print(_absences(inspection))
    for target, counts in inspection.classes.items():
        console.print(_classes(target, counts))
    if inspection.sizes:
        console.print(_sizes(inspection))
    _print_findings(inspection, console)
    if inspection.plan:
        _print_plan(inspection.plan, console)
    elif inspection.unplanned:
        console.print(f"What fit would do cannot be said: {inspection.unplanned.rstrip('.')}.", markup=False)


def _printed(title: str, columns: list[str], rows: list[list[str]]) -> Printed:
    printed = Printed(*columns, title=title, title_justify="left")
    for row in rows:
        printed.add_row(*row)
    return printed


def _absences(inspection: Inspection) -> Printed:
    total = len(inspection.table)
    rows = [
        [", ".join(pattern.lacking) or "none absent", f"{pattern.records:,}", f"{pattern.records / total:.1%}"]
        for pattern in inspection.patterns
    ]
    return _printed("What is absent together", ["inputs", "records", "share"], rows)


def _classes(target: str, counts: dict[str, int]) -> Printed:
    total, most = max(sum(counts.values()), 1), max(1, *counts.values())
    rows = [
        [name, f"{count:,}", f"{count / total:.1%}", "█" * max(1, round(_BAR * count / most))]
        for name, count in counts.items()
    ]
    if len(rows) > _MOST_CLASSES:
        between = list(counts.values())[_ENDS:-_ENDS]
        summary = [f"({len(between)} others)", f"{sum(between):,}", f"{sum(between) / total:.1%}", ""]
        rows = [*rows[:_ENDS], summary, *rows[-_ENDS:]]
    return _printed(f"Classes of '{target}'", ["class", "records", "share", ""], rows)


def _sizes(inspection: Inspection) -> Printed:
    rows = [
        [size.column, size.measure, *(f"{value:,.6g}" for value in (size.low, size.median, size.high)), size.bars]
        for size in inspection.sizes
    ]
    return _printed("Sizes and values", ["column", "measure", "least", "median", "most", "how many of each"], rows)


def _print_findings(inspection: Inspection, console: Console) -> None:
    if not inspection.findings:
        console.print(f"Nothing is wrong with the {counted(len(inspection.table), 'record')}, as far as can be seen.")
        return
    for severity, meaning in SEVERITIES.items():
        findings = [finding for finding in inspection.findings if finding.severity == severity]
        if findings:
            console.print(f"\n{counted(len(findings), severity)} ({meaning})", style="bold", markup=False)
        printed: Counter[str] = Counter()
        for finding in findings:
            printed[finding.kind] += 1
            if printed[finding.kind] <= _MOST_OF_A_KIND:
                console.print(f"  {finding.kind}: {finding.sentence}", markup=False, soft_wrap=True)
        for kind, count in printed.items():
            if count > _MOST_OF_A_KIND:
                hidden = count - _MOST_OF_A_KIND
                console.print(f"  and {hidden:,} more of the kind {kind}; --json lists all.", markup=False)
    console.print()


def _print_plan(plan: Plan, console: Console) -> None:
    refit = ", then again on training and validation records" if plan.refit else ""
    training = f"up to {plan.epochs} epochs of {plan.batch_size} records a step: {plan.steps:,} steps{refit}"
    rows = [
        *([f"input {name}", encoder] for name, encoder in plan.encoders.items()),
        ["fusion", plan.fusion],
        *([f"target {name}", head] for name, head in plan.heads.items()),
        ["weights", f"{plan.parameters:,}"],
        ["records", ", ".join(f"{count:,} {name}" for name, count in plan.records.items())],
        ["training", training],
    ]
    console.print(_printed("What fit would do", ["part", "what"], rows))
    console.print(
        f"That would take at most {_duration(plan.seconds)} on this machine ({plan.device}, {plan.precision}): a step"
        f" of {plan.batch_size} records took {plan.step_ms:.0f} ms, reading a record {plan.read_ms:.1f} ms in each of"
        f" {max(plan.workers, 1)} {'process' if plan.workers < 2 else 'processes'};"
        " training that stops early takes less.",
        markup=False, soft_wrap=True,
    )  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
