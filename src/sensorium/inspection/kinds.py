"""What each column is, going on where reading a table would stop, with every such place as a finding."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import Ambiguous, Guess, count_labels, guess_input, guess_target
from sensorium.data.columns.parse import PARSERS, is_missing, numbers
from sensorium.data.infer_schema import one_key, pictures, roles_of
from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs
from sensorium.data.table import Table
from sensorium.inspection import written
from sensorium.inspection.finding import Finding, at, listed, plural


class Settled(NamedTuple):
    """A table whose cells were mended as far as they can be, under the schema that they make; and what was found."""

    table: Table
    findings: list[Finding]


def settle(table: Table, targets: dict[str, str | None], stated: dict[str, str], known: Mapping[str, Guess]) -> Settled:
    """The schema of a table whose own is not looked at, from `targets` and other columns `stated`, both name → kind,
    and from what the source itself says of the others (`known`).
    """
    frame, described, specs, found = {}, [], [], []
    for name in table.frame.columns:
        values = table.frame[name].to_numpy()
        share = float(is_missing(values).mean())
        if name in targets:
            guess, cells, said = _target(table, name, targets[name])
            spec, more = _labels(table, name, guess.kind, cells)
            specs += [spec] if spec else []
            column = Column(name=name, kind="target" if spec else "ignored", reason=guess.reason, absent=share)
            said = said + more
        else:
            told = known.get(name) if name not in stated and share < 1 else None
            guess, cells, said = (told, values, []) if told else _input(table, name, stated.get(name))
            column = Column(name=name, kind=guess.kind, reason=guess.reason, absent=share)
        frame[name] = pd.Series(cells, dtype=None if cells.dtype != object else object)
        described.append(column)
        found += said
    described = one_key(described, stated)
    specs.sort(key=lambda spec: list(targets).index(spec.name))
    roles = roles_of(described, stated)
    schema = Schema(columns=described, inputs=make_inputs(described), targets=specs, **roles)
    mended = Table(pd.DataFrame(frame, index=table.frame.index), schema, table.root, table.rows, table.source)
    return Settled(mended, found + _nothing_left(schema, table.source))


def _nothing_left(schema: Schema, source: str) -> list[Finding]:
    if schema.inputs:
        return []
    said = f"{source} has no column left to learn from; add one, or state its kind with --column NAME=KIND."
    return [Finding("no-inputs", "error", "", [], said)]


def _input(table: Table, name: str, stated: str | None) -> tuple[Guess, np.ndarray, list[Finding]]:
    values = table.frame[name].to_numpy()
    if stated == "ignored" or is_missing(values).all():
        kind = Guess("ignored", "stated" if stated else f"all {len(values)} values are absent")
        return kind, values, []
    seen = written.look(name, values, table.rows)
    if stated == "group" and (medium := pictures(values)) is not None:
        return medium, values, []
    if stated:
        cells, wrong = _fitting(table, name, stated, seen.cells)
        said = seen.findings if stated in ("text", "number", "category") or wrong else []
        stops = _wrong(table, name, stated, values)
        return Guess(stated, "stated"), cells, [*_graver(said, stops), *wrong, *_role(table, name, stated)]
    return _settled(table, name, seen, guess_input)


def _target(table: Table, name: str, stated: str | None) -> tuple[Guess, np.ndarray, list[Finding]]:
    values = table.frame[name].to_numpy()
    if is_missing(values).all():
        said = f"The target '{name}' is absent in all {len(table)} rows; fill it in, or choose another target."
        return Guess("class", "absent"), values, [Finding("empty-target", "error", name, [], said)]
    seen = written.look(name, values, table.rows)
    if stated:
        cells, wrong = _fitting(table, name, stated, seen.cells)
        return Guess(stated, "stated"), cells, [*seen.findings, *wrong]
    return _settled(table, name, seen, guess_target)


def _settled(
    table: Table, name: str, seen: written.Written, guess: Callable[[np.ndarray], Guess]
) -> tuple[Guess, np.ndarray, list[Finding]]:
    """The guessed kind of a column, its cells in a form that fits it, and what was found about it."""
    first, second = (_tried(guess, cells) for cells in (table.frame[name].to_numpy(), seen.cells))
    explained = any(one.kind not in ("encoding-damage",) for one in seen.findings)
    said = list(seen.findings)
    if isinstance(first, Ambiguous):
        said = _graver(said, True) if explained else [*said, _ambiguous(name, first, seen.dates)]
    kind = first if isinstance(second, Ambiguous) else second
    if isinstance(kind, Ambiguous):
        guessed = "ignored" if seen.dates else "number" if seen.numeric else kind.kinds[0]
        kind = Guess(guessed, f"not clear: {kind.reason}")
    cells, wrong = _fitting(table, name, kind.kind, seen.cells)
    return kind, cells, said + ([] if isinstance(first, Ambiguous) else wrong)


def _tried(guess: Callable[[np.ndarray], Guess], cells: np.ndarray) -> Guess | Ambiguous:
    try:
        return guess(cells)
    except Ambiguous as error:
        return error


def _graver(found: list[Finding], stops: bool) -> list[Finding]:
    return [one._replace(severity="error") if stops else one for one in found]


def _ambiguous(name: str, error: Ambiguous, dates: bool) -> Finding:
    first, *others = ("ignored",) if dates else error.kinds
    several = f" (or {', '.join(others)})" if others else ""
    what = "it holds dates, which are not read; make numbers of them" if dates else error.reason
    said = f"Column '{name}' is ambiguous: {what}; state what it is with --column '{name}={first}'{several}."
    return Finding("ambiguous-column", "error", name, [], said)


def _wrong(table: Table, name: str, kind: str, values: np.ndarray) -> bool:
    """Whether a cell of `values` does not fit `kind`."""
    return bool(_misfits(kind, values).any())


def _misfits(kind: str, values: np.ndarray) -> np.ndarray:
    """bool [N]: True where a cell is present and none of `kind`."""
    gone = is_missing(values)
    if kind == "number":
        return np.isnan(numbers(values)) & ~gone
    if kind not in PARSERS:
        return np.zeros(len(values), dtype=bool)
    return np.fromiter((not lack and not _fits(kind, value) for lack, value in zip(gone, values, strict=True)), bool)


def _fits(kind: str, value: object) -> bool:
    try:
        PARSERS[kind](value)
    except ValueError:
        return False
    return True


def _fitting(table: Table, name: str, kind: str, cells: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    """The cells without those that are none of `kind`, which are a finding."""
    wrong = _misfits(kind, cells)
    if not wrong.any():
        return cells, []
    rows = at(table.rows, wrong)
    example = repr(str(cells[np.flatnonzero(wrong)[0]])[:40])
    mended = cells.astype(object)
    mended[wrong] = None
    said = (
        f"Column '{name}' is {kind}, but {plural(len(rows), 'cell')} cannot be read as that, such as {example} in"
        f" {listed(rows)}; mend {'it' if len(rows) == 1 else 'them'}, or leave the cell empty."
    )
    return mended, [Finding("wrong-kind", "error", name, rows, said)]


def _role(table: Table, name: str, role: str) -> list[Finding]:
    """What is wrong with the cells of a group or key column."""
    values = table.frame[name].to_numpy()
    if role not in ("group", "key"):
        return []
    found = []
    gone = is_missing(values)
    if gone.any():
        rows = at(table.rows, gone)
        have = "has" if len(rows) == 1 else "have"
        said = f"Column '{name}' is the {role}, and {listed(rows)} {have} no value; fill it in."
        found.append(Finding(f"{role}-without-value", "error", name, rows, said))
    if role == "key":
        again = pd.Series(values, dtype=object).astype(str).duplicated(keep=False).to_numpy() & ~gone
        if again.any():
            rows = at(table.rows, again)
            said = (
                f"The key '{name}' is the same in several records ({listed(rows)}); each record needs a key of its own."
            )
            found.append(Finding("repeated-key", "error", name, rows, said))
    return found


def _labels(table: Table, name: str, kind: str, cells: np.ndarray) -> tuple[TargetSpec | None, list[Finding]]:
    """The target with its labels; None when there is nothing to tell apart."""
    if is_missing(cells).all():
        return None, []
    if kind == "number":
        known = pd.unique(numbers(cells)[~is_missing(cells)])
        alike, labels = len(known) < 2, []
    else:
        counted = count_labels(cells, kind)
        present = int((~is_missing(cells)).sum())
        alike, labels = all(count == present for count in counted.values()), list(counted)
    if alike:
        said = f"The target '{name}' is the same in every row that has it; learning needs at least two values."
        return None, [Finding("constant-target", "error", name, [], said)]
    return TargetSpec(name=name, kind=kind, labels=labels), []
