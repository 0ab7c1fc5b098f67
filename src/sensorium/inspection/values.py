"""Values of columns: constant ones, row counters, extremes, numbers that stand for a missing value."""

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import holds_numbers, is_missing, numbers, objects, takes_text
from sensorium.data.finding import Finding, cell_finding, list_values
from sensorium.data.table import Table

_ENOUGH = 20  # rows from which a pattern is no accident
_SENTINELS = (-1, -9, -99, -999, -9999, -99999, 99, 999, 9999, 99999, 999999)
_SPREADS, _LOG_SPREADS = 12, 5  # interquartile ranges beyond the quartiles; of logarithms, from the median
_LOG_REACH = 1.3  # least powers of ten from the median
_MOST_EXTREMES = 0.05  # share of the values


def value_findings(table: Table) -> list[Finding]:
    """What is odd about the values of each column."""
    findings = []
    measured = [target.name for target in table.schema.targets if not target.labels]
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()
        if holds_numbers(column.kind) or column.name in measured:
            parsed = numbers(table.cells(column.name, "number")) if column.kind != "target" else numbers(values)
            findings += _sentinels(table, column.name, parsed) or _extremes(table, column.name, parsed)
        if takes_text(column.kind):
            findings += _damaged_letters(table, column.name)
        if column.reason != "stated" and column.kind != "target":
            findings += _constant(column.name, values) or _row_counter(column.name, values)
    return findings


def _damaged_letters(table: Table, name: str) -> list[Finding]:
    """Texts that were read in another encoding than they were written in; none without ftfy."""
    try:
        from ftfy import badness
    except ImportError:
        return []
    cells = table.frame[name].to_numpy(object)
    codes, distinct = pd.factorize(objects([cell if isinstance(cell, str) else None for cell in cells]))
    damaged = np.array([*("\ufffd" in text or badness.is_bad(text) for text in distinct), False], dtype=bool)[codes]
    if not damaged.any():
        return []
    fault = f"letters damaged by a wrong encoding, such as {list_values(pd.unique(cells[damaged]))},"
    return [cell_finding(table, "encoding-damage", name, damaged, fault, "save the source again as UTF-8")]


def _constant(name: str, values: np.ndarray) -> list[Finding]:
    present = values[~is_missing(values)]
    if len(present) < 2 or not all(isinstance(value, str | int | float | np.generic) for value in present):
        return []
    if len(pd.unique(present)) > 1:
        return []
    holes = "" if len(present) == len(values) else " that has it"
    sentence = f"Column '{name}' is {str(present[0])[:30]!r} in every row{holes}, so it says nothing; leave it out."
    return [Finding("constant-column", "warning", name, [], sentence)]


def _row_counter(name: str, values: np.ndarray) -> list[Finding]:
    """Whole numbers that number the records, in the order of the rows or in another."""
    parsed = numbers(values)
    if len(parsed) < _ENOUGH or np.isnan(parsed).any() or (parsed != np.round(parsed)).any():
        return []
    steps = np.diff(parsed)
    if (np.diff(np.sort(parsed)) == 1).all():
        meaning = "numbers the records, each once"
    elif (steps > 0).all() or (steps < 0).all():
        meaning = f"only {'rises' if steps[0] > 0 else 'falls'} from row to row"
    else:
        return []
    sentence = (
        f"Column '{name}' {meaning}, which tells the order of the table and nothing of the record; state it with"
        f" --column '{name}=ignored', or with --key {name} if it names the record."
    )
    return [Finding("row-counter", "warning", name, [], sentence)]


def _sentinels(table: Table, name: str, parsed: np.ndarray) -> list[Finding]:
    """A number such as -999 that stands for a missing value, far from all others."""
    for sentinel in _SENTINELS:
        marked = parsed == sentinel
        count, values = int(marked.sum()), parsed[~marked & ~np.isnan(parsed)]
        if count == 0 or len(values) < 5:
            continue
        low, high = values.min(), values.max()
        far = max(low - sentinel, sentinel - high) > max(high - low, 1)
        if (far and (count >= 2 or sentinel < -9)) or (sentinel < 0 and low > 2 and count >= 2):
            fault = f"{sentinel:g}, far from the other values ({low:g} to {high:g}), as if for a missing value,"
            return [cell_finding(table, "placeholder", name, marked, fault, "leave the cells empty")]
    return []


def _extremes(table: Table, name: str, parsed: np.ndarray) -> list[Finding]:
    extreme = extreme_values(parsed)
    if not extreme.any():
        return []
    usual = parsed[~extreme & ~np.isnan(parsed)]
    values = ", ".join(f"{value:g}" for value in parsed[extreme][:3])
    fault = f"extreme values ({values}, while the others lie between {usual.min():g} and {usual.max():g})"
    return [cell_finding(table, "extreme-value", name, extreme, fault, "look for a slip or another unit")]


def extreme_values(parsed: np.ndarray) -> np.ndarray:
    """bool [N]: values so far out that even a column with a long tail would not have them. Beyond twelve interquartile
    ranges and, where all values are positive, five of their logarithms; and further from all others than these lie from
    each other."""
    present = parsed[~np.isnan(parsed)]
    low, high = np.quantile(present, [0.25, 0.75]) if len(present) else (0, 0)
    if low == high or len(pd.unique(present)) < 8:
        return np.zeros(len(parsed), dtype=bool)
    extreme = (parsed > high + _SPREADS * (high - low)) | (parsed < low - _SPREADS * (high - low))
    if present.min() > 0:
        far = _LOG_SPREADS * np.log10(high / low)
        extreme &= np.abs(np.log10(parsed) - np.log10(np.median(present))) > max(far, _LOG_REACH)
    usual = parsed[~extreme & ~np.isnan(parsed)]
    extreme &= np.maximum(parsed - usual.max(), usual.min() - parsed) > np.ptp(usual)
    return extreme & (extreme.sum() <= max(2, _MOST_EXTREMES * len(present)))
