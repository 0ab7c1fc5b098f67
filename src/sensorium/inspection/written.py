"""How cells are written: placeholders, units, commas and damaged letters are found, and read as they are meant."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers, objects
from sensorium.data.table import Table
from sensorium.inspection.finding import Finding, cell_finding, list_values

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
_PATH = r".+\.[A-Za-z0-9]{2,4}"
_DECIMAL_COMMA, _THOUSANDS = r"[+-]?\d+(?:\.\d{3})*,\d+", r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_MOSTLY = 0.6  # share of the cells from which a column is one of numbers, or of paths
_MOST_UNITS = 4  # with none
# kind, fault, remedy
_PLACEHOLDER = "placeholder", "words for a missing value, which are read as values", "leave the cells empty"
_DAMAGE = "encoding-damage", "letters damaged by a wrong encoding", "save the source again as UTF-8"
_UNIT = (
    "number-with-unit", "numbers with a unit, which are read as words",
    "write plain numbers of one unit, and name the unit in the column's name",
)  # fmt: skip
_COMMA = (
    "decimal-comma", "numbers with a comma, which are read as words",
    "write decimals with a point, and thousands without anything between",
)  # fmt: skip


class WrittenColumn(NamedTuple):
    """A column's cells [N] as they are meant (placeholders absent, numbers read), and what was found."""

    cells: np.ndarray
    findings: list[Finding]
    is_numeric: bool = False


def read_written(table: Table, name: str) -> WrittenColumn:
    """Reads the cells of the column `name` as they are meant."""
    values = table.frame[name].to_numpy()
    stripped = [value.strip() if isinstance(value, str) and value else None for value in values]
    codes, distinct = pd.factorize(np.array(stripped, dtype=object))  # [N], [M]
    texts, counts = pd.Series(distinct, dtype=object), np.bincount(codes[codes >= 0])
    if not len(texts):
        return WrittenColumn(values, [])
    folded = texts.str.casefold()
    placeholders = folded.isin(_PLACEHOLDERS) | (texts == "NA")
    no_numbers = placeholders | folded.isin(_NO_NUMBERS)
    meant = _read_numbers(texts, counts, no_numbers, int((~is_missing(values) & (codes < 0)).sum()))
    if meant is not None or counts[texts.str.fullmatch(_PATH)].sum() >= _MOSTLY * counts.sum():
        placeholders = no_numbers
    if texts[~placeholders].str.fullmatch(r"\W{1,3}").all():  # the few values of a scale, as + and -
        placeholders[:] = False
    faults = [(placeholders, *_PLACEHOLDER), (_damaged_letters(texts), *_DAMAGE)]
    if meant is not None:
        faults += [(meant["unit"] != "", *_UNIT), (meant["comma"], *_COMMA)]
    findings = []
    for texts_at_fault, kind, fault, remedy in faults:
        if texts_at_fault.any():
            fault = f"{fault}, such as {list_values(texts[texts_at_fault])},"
            where = np.append(texts_at_fault, False)[codes]
            findings.append(cell_finding(table, kind, name, where, fault, remedy))
    read = texts.where(~placeholders, None)
    if meant is not None:
        read = read.where(meant["value"].isna() | placeholders, meant["value"])
    rows = zip(values, codes, read.iloc[codes], strict=True)
    read = [value if code < 0 else read_text for value, code, read_text in rows]
    as_meant = objects(read) if placeholders.any() or meant is not None else values
    return WrittenColumn(as_meant, findings, is_numeric=meant is not None)


def _read_numbers(
    texts: pd.Series, counts: np.ndarray, no_numbers: pd.Series, already_numbers: int
) -> pd.DataFrame | None:
    """By text, [M], the `value` that it stands for, NaN for none, its `unit` and whether it has a `comma`; None when
    the column is not one of numbers, however they are written. already_numbers: cells that are no text."""
    plain = pd.Series(numbers(texts.to_numpy()))
    matches = texts.where(plain.isna() & ~no_numbers, "").str.extract(f"^{_NUMBER}$").fillna("")
    digits = matches["number"].str.replace(r"[ ']", "", regex=True)
    commas = digits[digits.str.contains(",")]
    thousands = len(commas) > 0 and commas.str.fullmatch(_THOUSANDS).all()
    comma = digits.str.fullmatch(_THOUSANDS if thousands else _DECIMAL_COMMA)
    with_point = digits.str.replace(",", "") if thousands else digits.str.replace(".", "").str.replace(",", ".")
    value = plain.fillna(pd.to_numeric(digits.where(~comma, with_point), errors="coerce"))
    unit = matches["currency"] + matches["unit"]
    value[texts.str.match(r"[+-]?0\d") | (plain.isna() & (unit == "") & ~comma)] = np.nan  # a leading zero marks a code
    meant = pd.DataFrame({"value": value, "unit": unit.where(value.notna(), ""), "comma": comma & value.notna()})
    count = counts[value.notna()].sum() + already_numbers
    few = value.notna().sum() + already_numbers < 3 or meant["unit"].nunique() > _MOST_UNITS
    return None if few or count < _MOSTLY * (counts[~no_numbers].sum() + already_numbers) else meant


def _damaged_letters(texts: pd.Series) -> pd.Series:
    """bool [M]: texts that were read in another encoding than they were written in; none without ftfy."""
    try:
        from ftfy import badness
    except ImportError:
        return texts.isna()
    return texts.map(lambda text: "\ufffd" in text or badness.is_bad(text))
