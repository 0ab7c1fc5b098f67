"""The schema of a table whose cells may be wrong: each fault that would stop reading it is a finding."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import Ambiguous, Guess, guess_input, guess_shared_pictures
from sensorium.data.columns.parse import convert, is_missing
from sensorium.data.infer_schema import one_key, roles_of
from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS, guess_target
from sensorium.inspection.finding import Finding, cell_finding
from sensorium.inspection.written import WrittenColumn, read_written


class _ReadColumn(NamedTuple):
    """A column's kind with the reason for it, its cells [N] that are of this kind, and what would stop reading it."""

    guess: Guess
    cells: np.ndarray
    findings: list[Finding]


def collect_schema(
    table: Table, targets: dict[str, str | None], roles: dict[str, str], known: Mapping[str, Guess]
) -> tuple[Table, list[Finding]]:
    """The table with cells that fit the schema inferred from them (others made absent), and what would stop `fit`.
    targets, roles: stated kinds of the targets and of other columns, by name, None where the kind is to be guessed;
    known: what the source itself says of a column."""
    frame, columns, specs, findings = {}, [], [], []
    for name in table.frame.columns:
        values = table.frame[name].to_numpy()
        absent = float(is_missing(values).mean())
        if name in known and name not in targets and name not in roles and absent < 1:
            column = _ReadColumn(known[name], values, [])
        else:
            guess = guess_target if name in targets else guess_input
            column = _read_column(table, name, (targets | roles).get(name), guess)
        kind = column.guess.kind
        if name in targets:
            spec = _target_spec(name, kind, column.cells, column.findings)
            specs += [spec] if spec else []
            kind = "target" if spec else "ignored"
        frame[name] = pd.Series(column.cells, dtype=None if column.cells.dtype != object else object)
        columns.append(Column(name=name, kind=kind, reason=column.guess.reason, absent=absent))
        findings += column.findings
    columns = one_key(columns, roles)
    specs.sort(key=lambda spec: list(targets).index(spec.name))
    schema = Schema(columns=columns, inputs=make_inputs(columns), targets=specs, **roles_of(columns, roles))
    if not schema.inputs:
        sentence = "no column is left to learn from; add one, or state its kind with --column NAME=KIND."
        findings.append(Finding("no-inputs", "error", "", [], f"In {table.source} {sentence}"))
    return Table(pd.DataFrame(frame, index=table.frame.index), schema, table.root, table.rows, table.source), findings


def _read_column(table: Table, name: str, stated: str | None, guess: Callable[[np.ndarray], Guess]) -> _ReadColumn:
    values = table.frame[name].to_numpy()
    if stated == "ignored" or is_missing(values).all():
        return _ReadColumn(Guess("ignored", "stated" if stated else f"all {len(values)} values are absent"), values, [])
    if stated == "group" and (shared_pictures := guess_shared_pictures(values)) is not None:
        return _ReadColumn(shared_pictures, values, [])
    written = read_written(table, name)
    if not stated:
        return _guess_column(table, name, written, guess)
    cells, misfits = _drop_misfits(table, name, stated, written.cells)
    if guess is guess_target or stated in ("text", "number", "category") or misfits:
        stops = _misfits(stated, values).any()  # how the cells are written would stop fit
        misfits = (_as_errors(written.findings) if stops else written.findings) + misfits
    return _ReadColumn(Guess(stated, "stated"), cells, misfits + _role_faults(table, name, stated))


def _guess_column(table: Table, name: str, written: WrittenColumn, guess: Callable[[np.ndarray], Guess]) -> _ReadColumn:
    """By the kind that `fit` would guess, or else the one of the cells as they are meant."""
    as_is, as_meant = (_guess_or_doubt(guess, cells) for cells in (table.frame[name].to_numpy(), written.cells))
    kind = as_is if isinstance(as_meant, Ambiguous) else as_meant
    if isinstance(kind, Ambiguous):
        kind = Guess("number" if written.is_numeric else kind.kinds[0], f"not clear: {kind.reason}")
    cells, misfits = _drop_misfits(table, name, kind.kind, written.cells)
    if not isinstance(as_is, Ambiguous):
        return _ReadColumn(kind, cells, written.findings + misfits)
    if any(finding.kind != "encoding-damage" for finding in written.findings):  # these say why it is ambiguous
        return _ReadColumn(kind, cells, _as_errors(written.findings))
    first, *alternatives = as_is.kinds
    or_others = f" (or {', '.join(alternatives)})" if alternatives else ""
    doubt = f"Column '{name}' is ambiguous: {as_is.reason}"
    sentence = f"{doubt}; state what it is with --column '{name}={first}'{or_others}."
    return _ReadColumn(kind, cells, [*written.findings, Finding("ambiguous-column", "error", name, [], sentence)])


def _guess_or_doubt(guess: Callable[[np.ndarray], Guess], cells: np.ndarray) -> Guess | Ambiguous:
    try:
        return guess(cells)
    except Ambiguous as doubt:
        return doubt


def _as_errors(findings: list[Finding]) -> list[Finding]:
    return [finding._replace(severity="error") for finding in findings]


def _misfits(kind: str, values: np.ndarray) -> np.ndarray:
    """bool [N]: True where a cell is present and none of `kind`."""
    misfits = np.zeros(len(values), dtype=bool)
    if _convert(kind, values)[1] is not None:
        for row in np.flatnonzero(~is_missing(values)):
            misfits[row] = _convert(kind, values[row : row + 1])[1] is not None
    return misfits


def _convert(kind: str, values: np.ndarray) -> tuple[np.ndarray, tuple[int, str] | None]:
    """The cells in the form of a kind of target or column, and the first that does not fit."""
    return TARGETS[kind].convert(values) if kind in TARGETS else convert(values, kind)


def _drop_misfits(table: Table, name: str, kind: str, cells: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    """The cells without those that are none of `kind`, which are a finding."""
    misfits = _misfits(kind, cells)
    if not misfits.any():
        return cells, []
    fault = f"cells that cannot be read as {kind}, such as {str(cells[misfits.argmax()])[:40]!r},"
    remedy = "mend it, or leave the cell empty"
    fitting = cells.astype(object)
    fitting[misfits] = None
    return fitting, [cell_finding(table, "wrong-kind", name, misfits, fault, remedy, "error")]


def _role_faults(table: Table, name: str, role: str) -> list[Finding]:
    """Absent cells of a group or key column, and keys that several records share."""
    findings, values = [], table.frame[name]
    absent = is_missing(values.to_numpy())
    if role in ("group", "key") and absent.any():
        fault = f"no value, though it is the {role},"
        findings.append(cell_finding(table, f"{role}-without-value", name, absent, fault, "fill it in", "error"))
    if role == "key" and (repeated := values.astype(str).duplicated(keep=False).to_numpy() & ~absent).any():
        remedy = "each record needs a key of its own"
        findings.append(cell_finding(table, "repeated-key", name, repeated, "the same key", remedy, "error"))
    return findings


def _target_spec(name: str, kind: str, cells: np.ndarray, findings: list[Finding]) -> TargetSpec | None:
    """The target with its labels; None, with a finding, when there is nothing to tell apart."""
    converted, _ = TARGETS[kind].convert(cells)
    if is_missing(converted).all():
        fault, sentence = "empty-target", "is absent in every row; fill it in, or choose another target."
    elif TARGETS[kind].constant(converted) is not None:
        fault, sentence = "constant-target", "is the same in every row that has it; learning needs at least two values."
    else:
        return TargetSpec(name=name, kind=kind, labels=list(TARGETS[kind].label_counts(converted)))
    findings.append(Finding(fault, "error", name, [], f"The target '{name}' {sentence}"))
    return None
