"""A look at a table as a person reads it: tables, small histograms, findings by how grave they are."""

from rich.console import Console
from rich.table import Table as Printed

from sensorium.inspection.estimate import Plan
from sensorium.inspection.finding import SEVERITIES, plural
from sensorium.inspection.inspect import Inspection
from sensorium.inspection.sizes import Size

_MOST = 50  # findings of one kind that are printed
_MOST_CLASSES, _ENDS = 25, 12
_BAR = 30


def show(seen: Inspection, console: Console) -> None:
    """Prints all of it."""
    console.print(seen.table.describe())
    if any(column.absent for column in seen.table.schema.columns):
        console.print(_absences(seen))
    for target, counted in seen.classes.items():
        console.print(_classes(target, counted))
    if seen.sizes:
        console.print(_sizes(seen.sizes))
    _findings(seen, console)
    if seen.plan:
        _plan(seen.plan, console)
    elif seen.unplanned:
        console.print(f"What fit would do cannot be said: {seen.unplanned.rstrip('.')}.", markup=False)


def _titled(title: str, *columns: str) -> Printed:
    return Printed(*columns, title=title, title_justify="left")


def _row(printed: Printed, *cells: object) -> None:
    printed.add_row(*(str(cell).replace("[", r"\[") for cell in cells))


def _absences(seen: Inspection) -> Printed:
    printed = _titled("What is absent together", "inputs", "records", "share")
    for one in seen.patterns:
        _row(
            printed, ", ".join(one.lacking) or "none absent", f"{one.records:,}", f"{one.records / len(seen.table):.1%}"
        )
    return printed


def _classes(target: str, counted: dict[str, int]) -> Printed:
    printed = _titled(f"Classes of '{target}'", "class", "records", "share", "")
    total, most = max(sum(counted.values()), 1), max(counted.values(), default=1)
    shown = list(counted.items())
    if len(shown) > _MOST_CLASSES:
        first, rest, last = shown[:_ENDS], shown[_ENDS:-_ENDS], shown[-_ENDS:]
        shown = [*first, (f"({len(rest)} others)", sum(count for _, count in rest)), *last]
    for name, count in shown:
        bar = "" if name not in counted else "█" * max(1, round(_BAR * count / max(most, 1)))
        _row(printed, name, f"{count:,}", f"{count / total:.1%}", bar)
    return printed


def _sizes(found: list[Size]) -> Printed:
    printed = _titled("Sizes and values", "column", "measure", "least", "median", "most", "how many of each")
    for one in found:
        _row(
            printed, one.column, one.measure, *(f"{value:,.6g}" for value in (one.low, one.median, one.high)), one.bars
        )
    return printed


def _findings(seen: Inspection, console: Console) -> None:
    if not seen.findings:
        console.print(f"Nothing is wrong with the {plural(len(seen.table), 'record')}, as far as can be seen.")
        return
    for severity, meaning in SEVERITIES.items():
        own = [one for one in seen.findings if one.severity == severity]
        if not own:
            continue
        console.print(f"\n{plural(len(own), severity)} ({meaning})", style="bold", markup=False)
        shown: dict[str, int] = {}
        for one in own:
            shown[one.kind] = shown.get(one.kind, 0) + 1
            if shown[one.kind] <= _MOST:
                console.print(f"  {one.kind}: {one.sentence}", markup=False, soft_wrap=True)
        for kind, count in shown.items():
            if count > _MOST:
                console.print(f"  and {count - _MOST:,} more of the kind {kind}; --json lists all.", markup=False)
    console.print()


def _plan(plan: Plan, console: Console) -> None:
    printed = _titled("What fit would do", "part", "what")
    for name, encoder in plan.encoders.items():
        _row(printed, f"input {name}", encoder)
    _row(printed, "fusion", plan.fusion)
    for name, head in plan.heads.items():
        _row(printed, f"target {name}", head)
    _row(printed, "weights", f"{plan.parameters:,}")
    _row(printed, "records", ", ".join(f"{count:,} {name}" for name, count in plan.records.items()))
    again = ", then anew on training and validation records" if plan.refit else ""
    _row(
        printed,
        "training",
        f"up to {plan.epochs} epochs of {plan.batch_size} records a step: {plan.steps:,} steps{again}",
    )
    console.print(printed)
    console.print(
        f"That would take at most {_time(plan.seconds)} on this machine ({plan.device}, {plan.precision}): a step of"
        f" {plan.batch_size} records took {plan.step_ms:.0f} ms, reading a record {plan.read_ms:.1f} ms in each of"
        f" {max(plan.workers, 1)} {'process' if plan.workers < 2 else 'processes'};"
        " training that stops early takes less.",
        markup=False, soft_wrap=True,
    )  # fmt: skip


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
