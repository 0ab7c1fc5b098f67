"""Records, files and texts that stand in a table more than once, exactly or nearly, and with other labels."""

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers, to_label
from sensorium.data.finding import Finding, cell_finding, list_rows, rows_where
from sensorium.data.media.audio import TOO_LOUD
from sensorium.data.near_copies import ColumnFamilies
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.inspection.contents import Contents
from sensorium.inspection.targets import TargetCells

_REUSED = 0.3  # share of the records from which a repeated value is how a column is, not a copy


def copy_findings(
    table: Table,
    targets: list[TargetCells],
    contents: dict[str, Contents],
    held_out: np.ndarray | None,
    columns: list[ColumnFamilies],
) -> list[Finding]:
    """Copies in the `columns` that were compared, whole records that repeat, and the same input with other targets."""
    if not table.schema.inputs:
        return []
    exact = {name: _codes(files.ids, files.ids != 0) for name, files in contents.items()}
    names = [name for spec in table.schema.inputs for name in spec.columns]
    column_codes = [exact.get(name, _cell_codes(table.frame[name].to_numpy())) for name in names]
    records = ColumnFamilies("", "record", np.full(len(table), -1), _record_codes(column_codes))
    findings = _contradictions(table, [target for target in targets if not target.repeats_inputs], [records, *columns])
    # A record is repeated when its targets are the same too; others contradict each other.
    labelled = _combine([records.exact, *(pd.factorize(target.cells)[0] for target in targets)])
    copied = _repeated(np.where(_repeated(records.exact), labelled, -1))
    if copied.any():
        codes = np.where(copied, labelled, -1)
        findings.append(_copies_finding(table, records, codes, held_out, "duplicate-record", "equal to another"))
    for copies in columns:
        findings += _column_findings(table, copies, held_out, _repeated(records.exact))
    return findings


def _is_reused(codes: np.ndarray) -> bool:
    """Whether so many records that have a value, codes int64 [N], have it in common with others that this is how the
    column is, and no copy. True also where no record has one."""
    present = codes[codes >= 0]
    return not len(present) or bool(pd.Series(present).duplicated(keep=False).mean() > _REUSED)


def _codes(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """int64 [N]: a code from 0 for each different value, -1 outside `where`, bool [N]."""
    codes = np.full(len(values), -1)
    codes[where] = pd.factorize(values[where])[0]
    return codes


def _repeated(codes: np.ndarray) -> np.ndarray:
    """bool [N]: whose code, int64 [N], another has too; False for -1."""
    return pd.Series(codes).duplicated(keep=False).to_numpy() & (codes >= 0)


def _record_codes(columns: list[np.ndarray]) -> np.ndarray:
    """int64 [N]: equal for records that are equal in all columns, -1 without any of those of many values; all -1 where
    columns of few values repeat by nature."""
    telling = [codes for codes in columns if len(np.unique(codes)) > 0.4 * len(codes)]
    codes = _combine(columns)
    codes[np.max(telling or columns, axis=0) < 0] = -1
    return codes if telling or not _is_reused(codes) else np.full(len(codes), -1)


def _combine(columns: list[np.ndarray]) -> np.ndarray:
    """int64 [N]: equal where all of the codes, int64 [N] each, are."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _cell_codes(values: np.ndarray) -> np.ndarray:
    """int64 [N]: equal cells have the same code; -1 where absent."""
    present, parsed = ~is_missing(values), numbers(values)
    if not np.isnan(parsed[present]).any():
        return _codes(parsed, present)
    return _codes(np.array([_cell_name(value) for value in values], dtype=object), present)


def _cell_name(value: object) -> str:
    try:
        return to_label(value)
    except ValueError:
        return str(value)


def _contradictions(table: Table, targets: list[TargetCells], columns: list[ColumnFamilies]) -> list[Finding]:
    """The same input with different targets: whole records first, then single files and texts."""
    findings, accused = [], np.zeros(len(table), dtype=bool)
    for target in targets:
        labels = pd.factorize(target.cells)[0]
        for copies in columns:
            codes = np.where(labels < 0, -1, copies.exact)
            if copies.column and _is_reused(codes):
                continue
            contradicting = (codes >= 0) & (pd.Series(labels).groupby(codes).transform("nunique").to_numpy() > 1)
            if not contradicting.any() or (copies.column and accused[contradicting].all()):
                continue
            accused |= contradicting
            rows = rows_where(table, contradicting)
            shared = f"the same {copies.noun} in '{copies.column}'" if copies.column else "the same inputs throughout"
            sentence = (
                f"{list_rows(rows).capitalize()} have {shared} but different values of '{target.name}', so one of them"
                " must be wrong; mend the label, or delete the record."
            )
            findings.append(Finding("contradictory-target", "warning", copies.column, rows, sentence))
    return findings


def _column_findings(
    table: Table, copies: ColumnFamilies, held_out: np.ndarray | None, in_records: np.ndarray
) -> list[Finding]:
    """Copies in a column that are none of whole records (bool [N]), and families of which not all are equal."""
    if _is_reused(copies.exact):
        return []
    findings = []
    exact = _repeated(copies.exact)
    if (exact & ~in_records).any():
        codes = np.where(exact, copies.exact, -1)
        findings.append(_copies_finding(table, copies, codes, held_out, "duplicate", "the same as another"))
    several = pd.Series(copies.exact).groupby(copies.codes).transform("nunique").to_numpy() > 1
    codes = np.where((copies.codes >= 0) & several, copies.codes, -1)
    if (codes >= 0).any():
        findings.append(_copies_finding(table, copies, codes, held_out, "near-duplicate", "nearly the same as another"))
    return findings


def _copies_finding(
    table: Table, copies: ColumnFamilies, codes: np.ndarray, held_out: np.ndarray | None, kind: str, relation: str
) -> Finding:
    """The finding about records that share a code, int64 [N], -1 for those that are no copies."""
    groups = pd.Series(np.flatnonzero(codes >= 0)).groupby(codes[codes >= 0]).apply(list).tolist()
    split = [group for group in groups if held_out is not None and len(set(held_out[group])) > 1]
    groups = split or groups
    rows = rows_where(table, np.array(sorted(position for group in groups for position in group)))
    # One of the training records and one of the test's, where the group has both.
    example = sorted(groups[0], key=lambda position: split and held_out[position])
    first, second = table.rows[example[0]], table.rows[example[-1 if split else 1]]
    column = f" of '{copies.column}'" if copies.column else ""
    sentence = (
        f"{counted(len(rows), copies.noun)}{column} {'are' if len(rows) > 1 else 'is'} {relation}, in"
        f" {counted(len(groups), 'group')}, such as rows {first} and {second}"
    )
    if not split:
        severity = "note" if copies.column else "warning"
        return Finding(kind, severity, copies.column, rows, f"{sentence}; delete the copies.")
    remedy = "delete the copies" + (", or split by a group that holds them together" if copies.column else "")
    sentence += f" (in the test), with members on both sides of the split, so the score will flatter; {remedy}."
    return Finding(f"{kind}-across-split", "warning", copies.column, rows, sentence)


def blank_findings(table: Table, contents: dict[str, Contents]) -> list[Finding]:
    """Pictures of one colour, sounds without a sound, and sounds that are cut off, which end as square waves."""
    fault, remedy = "pictures of one colour, or silent sounds,", "bring the right files, or leave the cells empty"
    too_loud = {name: files.measures.get("peak", np.zeros(0)) > TOO_LOUD for name, files in contents.items()}
    cut_off = "sounds whose samples lie far beyond full scale, where they are cut off,"
    divide = "divide the samples by full scale (32,768 where they are in units of 16 bits)"
    return [
        cell_finding(table, "blank-content", name, files.blank, fault, remedy)
        for name, files in contents.items()
        if files.blank.any()
    ] + [
        cell_finding(table, "cut-off-sound", name, loud, cut_off, divide)
        for name, loud in too_loud.items()
        if loud.any()
    ]
