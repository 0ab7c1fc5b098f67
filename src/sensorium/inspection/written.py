"""How cells are written: placeholders, units, commas and damaged letters are found, and read as they are meant."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, objects
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.inspection.finding import Finding, list_rows, list_values, rows_where

_PLACEHOLDERS = {
    "n/a", "n.a.", "n/a.", "#n/a", "#na", "<na>", "nan", "null", "(null)", "nil", "-", "--", "---", "?", "??", "???",
    "\\n", "missing", "undefined", "tbd", "not available", "#value!", "#ref!", "#div/0!",
}  # fmt: skip
# Words that are values elsewhere, but not among numbers or paths.
_NO_NUMBERS = {"na", "none", "unknown", "unk", "x", ".", "..", "...", "*", "empty", "no data", "inf", "-inf"}
_NUMBER = (
    r"(?P<currency>[€$£¥]?)\s*(?P<number>[+-]?(?:\d[\d ,.']*\d|\d|\.\d+))"
    r"\s*(?P<unit>(?:[^\W\d_]|[%°€$£¥])[\w³²/]{0,9})?\.?"
)
_DECIMAL_COMMA, _THOUSANDS = r"[+-]?\d+(?:\.\d{3})*,\d+", r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_MOSTLY = 0.6  # share of the cells from which a column is one of numbers, or of paths
_MOST_UNITS = 3


class WrittenColumn(NamedTuple):
    """A column's cells [N] as they are meant (placeholders absent, numbers read), and what was found."""

    cells: np.ndarray
    findings: list[Finding]
    is_numeric: bool = False


class _Texts(NamedTuple):
    """A column by its M different texts, stripped: how often each stands (int64 [M]), and which of them each record
    has (int64 [N], -1 where it has none).
    """

    table: Table
    column: str
    distinct: pd.Series
    counts: np.ndarray
    codes: np.ndarray

    def rows(self, where: np.ndarray) -> list[int]:
        """The rows whose text is one of `where`, bool [M]."""
        return rows_where(self.table, np.append(where, False)[self.codes])


def read_written(table: Table, name: str) -> WrittenColumn:
    """Reads the cells of the column `name` as they are meant."""
    values = table.frame[name].to_numpy()
    stripped = [value.strip() if isinstance(value, str) and value else None for value in values]
    codes, distinct = pd.factorize(np.array(stripped, dtype=object))
    if not len(distinct):
        return WrittenColumn(values, [])
    texts = _Texts(table, name, pd.Series(distinct, dtype=object), np.bincount(codes[codes >= 0]), codes)
    findings = _damaged_letters(texts)
    placeholders = texts.distinct.str.casefold().isin(_PLACEHOLDERS).to_numpy() | (texts.distinct == "NA").to_numpy()
    loose = placeholders | texts.distinct.str.casefold().isin(_NO_NUMBERS).to_numpy()
    form = _number_forms(texts, loose, int((~is_missing(values) & (codes < 0)).sum()))
    paths = texts.counts[texts.distinct.str.fullmatch(r".+\.[A-Za-z0-9]{2,4}").to_numpy()].sum()
    if form is not None or paths >= _MOSTLY * texts.counts.sum():
        placeholders = loose
    signs = texts.distinct[~placeholders].str.fullmatch(r"\W{1,3}").all()  # the few values of a scale, as + and -
    if placeholders.any() and not signs:
        findings.append(_placeholder(texts, placeholders))
        values = objects(
            [None if absent else cell for absent, cell in zip(_of(codes, placeholders), values, strict=True)]
        )
    if form is None:
        return WrittenColumn(values, findings)
    findings += _number_findings(texts, form, placeholders)
    read = np.append(form["value"].to_numpy(), np.nan)[codes]
    read = [cell if np.isnan(number) else number for number, cell in zip(read, values, strict=True)]
    return WrittenColumn(objects(read), findings, is_numeric=True)


def _of(codes: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.append(where, False)[codes]


def _number_forms(texts: _Texts, placeholders: np.ndarray, already_numbers: int) -> pd.DataFrame | None:
    """By text the `value` that it stands for, float64, NaN for none, its `unit` and whether it has a `comma`; None when
    the column is not one of numbers, however they are written. `already_numbers`: cells that are no text.
    """
    form = texts.distinct.str.extract(f"^{_NUMBER}$")
    plain = form["number"].str.replace(r"[ ']", "", regex=True)
    commas = plain[plain.str.contains(",", na=False)]
    thousands = len(commas) > 0 and commas.str.fullmatch(_THOUSANDS).all()
    form["comma"] = plain.str.fullmatch(_THOUSANDS if thousands else _DECIMAL_COMMA, na=False)
    with_points = plain.str.replace(",", "") if thousands else plain.str.replace(".", "").str.replace(",", ".")
    form["value"] = pd.to_numeric(plain.where(~form["comma"], with_points), errors="coerce")
    form["unit"] = form["currency"].fillna("").where(form["currency"].fillna("") != "", form["unit"]).fillna("")
    form.loc[plain.str.match(r"[+-]?0\d", na=False) | placeholders, "value"] = np.nan  # a leading zero marks a code
    is_number = form["value"].notna().to_numpy()
    total = texts.counts[~placeholders].sum() + already_numbers
    count = texts.counts[is_number].sum() + already_numbers
    units = set(form["unit"][is_number]) - {""}
    if is_number.sum() + already_numbers < 3 or count < _MOSTLY * total or len(units) > _MOST_UNITS:
        return None
    return form.assign(thousands=thousands)


def _number_findings(texts: _Texts, form: pd.DataFrame, placeholders: np.ndarray) -> list[Finding]:
    findings, name = [], texts.column
    is_number = form["value"].notna()
    with_unit = (is_number & (form["unit"] != "")).to_numpy()
    if with_unit.any():
        rows, units = texts.rows(with_unit), pd.unique(form["unit"][with_unit])
        ways = f"with {list_values(units)}" if with_unit[is_number].all() else f"with and without {list_values(units)}"
        sentence = (
            f"Column '{name}' holds numbers written {ways}, such as '{texts.distinct[with_unit].iloc[0]}' in"
            f" {list_rows(rows)}, which are read as words; write plain numbers of one unit, and name the unit in the"
            " column's name."
        )
        findings.append(Finding("number-with-unit", "warning", name, rows, sentence))
    with_comma = (is_number & form["comma"]).to_numpy()
    if with_comma.any():
        rows, thousands = texts.rows(with_comma), form["thousands"].any()
        sentence = (
            f"Column '{name}' holds numbers with {'a comma between thousands' if thousands else 'a decimal comma'},"
            f" such as '{texts.distinct[with_comma].iloc[0]}' in {list_rows(rows)}, which are not read as numbers;"
            f" write them {'without it' if thousands else 'with a point'}."
        )
        findings.append(Finding("decimal-comma", "warning", name, rows, sentence))
    return findings


def _placeholder(texts: _Texts, placeholders: np.ndarray) -> Finding:
    rows = texts.rows(placeholders)
    sentence = (
        f"Column '{texts.column}' has {list_values(texts.distinct[placeholders])} in {counted(len(rows), 'cell')}"
        f" ({list_rows(rows)}), which stands for a missing value but is read as a value; leave the cells empty."
    )
    return Finding("placeholder", "warning", texts.column, rows, sentence)


def _damaged_letters(texts: _Texts) -> list[Finding]:
    """Letters that were read in another encoding than they were written in, as Ã© for é; none without ftfy."""
    try:
        from ftfy.badness import is_bad
    except ImportError:
        return []
    damaged = np.array(["\ufffd" in text or bool(is_bad(text)) for text in texts.distinct])
    if not damaged.any():
        return []
    rows, example = texts.rows(damaged), texts.distinct[damaged].iloc[0]
    start = max(0, re.search(r"[^\x00-\x7f]", example).start() - 10)
    sentence = (
        f"Column '{texts.column}' has letters damaged by a wrong encoding, such as"
        f" {example[start : start + 30]!r} in {list_rows(rows)}; save the source again as UTF-8."
    )
    return [Finding("encoding-damage", "warning", texts.column, rows, sentence)]
