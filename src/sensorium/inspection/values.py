"""Values of columns: constant ones, row counters, copies of another column, extremes, numbers for a missing value."""

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.inspection.finding import Finding, list_rows, rows_where

_ENOUGH = 20  # rows from which a pattern is no accident
_SENTINELS = (-1, -9, -99, -999, -9999, -99999, 99, 999, 9999, 99999, 999999)
_SPREADS, _LOG_SPREADS = 12, 4  # interquartile ranges beyond the quartiles, of values and of their logarithms
_LOG_REACH = 1.3  # least powers of ten beyond the quartile
_MOST_EXTREMES = 0.05  # share of the values


def value_findings(table: Table) -> list[Finding]:
    """What is odd about the values of each column, and which columns say the same."""
    findings = []
    measured = [target.name for target in table.schema.targets if not target.labels]
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()
        if column.kind == "number" or column.name in measured:
            parsed = numbers(values)
            findings += _sentinels(table, column.name, parsed) or _extremes(table, column.name, parsed)
        if column.reason != "stated" and column.kind != "target":
            findings += _constant(column.name, values) or _row_counter(column.name, values)
    return findings + _copied_columns(table)


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
            rows = rows_where(table, marked)
            sentence = (
                f"Column '{name}' has {sentinel:g} in {counted(count, 'cell')} ({list_rows(rows)}), far from the other"
                f" values ({low:g} to {high:g}), as if for a missing value; leave the cells empty."
            )
            return [Finding("placeholder", "warning", name, rows, sentence)]
    return []


def _extremes(table: Table, name: str, parsed: np.ndarray) -> list[Finding]:
    extreme = extreme_values(parsed)
    if not extreme.any():
        return []
    rows, usual = rows_where(table, extreme), parsed[~extreme & ~np.isnan(parsed)]
    examples = ", ".join(f"{value:g}" for value in parsed[extreme][:3])
    sentence = (
        f"Column '{name}' has {counted(len(rows), 'extreme value')} ({examples} in {list_rows(rows)}), while the others"
        f" lie between {usual.min():g} and {usual.max():g}; look for a slip or another unit."
    )
    return [Finding("extreme-value", "warning", name, rows, sentence)]


def extreme_values(parsed: np.ndarray) -> np.ndarray:
    """bool [N]: values so far out that even a column with a long tail would not have them.

    Beyond twelve interquartile ranges and, where all values are positive, as far out in logarithms too; and further
    from all others than these lie from each other.
    """
    none = np.zeros(len(parsed), dtype=bool)
    present = parsed[~np.isnan(parsed)]
    if len(pd.unique(present)) < 8:
        return none
    extreme = _beyond(parsed, present, _SPREADS, 0.0)
    if (present > 0).all():
        extreme &= _beyond(np.log10(parsed), np.log10(present), _LOG_SPREADS, _LOG_REACH)
    usual = parsed[~extreme & ~np.isnan(parsed)]
    extreme &= np.maximum(parsed - usual.max(), usual.min() - parsed) > np.ptp(usual)
    return extreme if extreme.sum() <= max(2, _MOST_EXTREMES * len(present)) else none


def _beyond(values: np.ndarray, present: np.ndarray, spreads: float, least: float) -> np.ndarray:
    """bool [N]: further beyond the quartiles of `present` than `spreads` times their distance, and than `least`."""
    low, high = np.quantile(present, [0.25, 0.75])
    if low == high:
        low, high = np.quantile(present, [0.05, 0.95])
    reach = max(spreads * (high - low), least)
    return ((values > high + reach) | (values < low - reach)) & (low < high)


def _copied_columns(table: Table) -> list[Finding]:
    """Input columns that say the same as an earlier one: equal, or the same number in another unit."""
    findings: list[Finding] = []
    earlier: list[tuple[str, str, np.ndarray]] = []
    for column in table.schema.columns:
        if column.kind not in ("number", "category", "text", "key", *MEDIA):
            continue
        values = table.frame[column.name].to_numpy()
        same = ((name, _relation(before, values, kind, column.kind)) for name, kind, before in earlier)
        name, relation = next(((name, relation) for name, relation in same if relation), ("", ""))
        if relation:
            sentence = (
                f"Column '{column.name}' {relation} '{name}'; leave one of the two out with"
                f" --column '{column.name}=ignored'."
            )
            findings.append(Finding("copied-column", "warning", column.name, [], sentence))
        else:
            earlier.append((column.name, column.kind, values))
    return findings


def _relation(before: np.ndarray, values: np.ndarray, before_kind: str, kind: str) -> str:
    """How a column's `values` repeat those of an earlier one, `before`, both [N], in words; '' if they do not."""
    present = ~is_missing(values)
    if present.sum() < 8 or (present == is_missing(before)).any() or before_kind != kind:
        return ""
    before, values = before[present], values[present]
    if kind == "number":
        return _number_relation(numbers(before), numbers(values))
    plain = all(isinstance(value, str | bool) for value in (*before, *values))
    return "is a copy of" if plain and (before == values).all() else ""


def _number_relation(before: np.ndarray, values: np.ndarray) -> str:
    if len(np.unique(before)) < 5 or len(np.unique(values)) < 5:
        return ""
    if (before == values).all():
        return "is a copy of"
    slope, start = np.polyfit(before, values, 1)
    scaled = len(values) >= _ENOUGH and np.abs(slope * before + start - values).max() <= 1e-3 * values.std()
    return "is the same number on another scale as" if scaled else ""
