"""Values of number and category columns: constant ones, row counters, copies of another column, extremes."""

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers, to_label
from sensorium.data.table import Table
from sensorium.inspection.finding import Finding, at, listed, plural, quoted

_ENOUGH = 20  # rows from which a pattern is no accident
_REGULAR = 0.9  # share of equal steps in a column that counts
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)
_SPREADS = 12  # interquartile ranges beyond the quartiles
_LOG_SPREADS = 4
_LEAST_FACTOR = 1.3  # powers of ten that an extreme lies beyond the quartile
_MOST_EXTREMES = 0.05


def value_findings(table: Table) -> list[Finding]:
    """What is odd about the values of each column, and which columns say the same."""
    kinds = {column.name: column.kind for column in table.schema.columns}
    target_numbers = [target.name for target in table.schema.targets if target.kind == "number"]
    found = []
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()
        found += _constant(column.name, values) if column.kind != "target" and column.reason != "stated" else []
        if column.kind == "number" or column.name in target_numbers:
            parsed = numbers(values)
            sentinel = _sentinel(table, column.name, parsed)
            found += sentinel or _extremes(table, column.name, parsed)
        if column.kind in ("number", "category", "key", "ignored", "text") and column.reason != "stated":
            found += _counter(column.name, values)
    return found + _copies(table, kinds) + _names(table)


def _constant(name: str, values: np.ndarray) -> list[Finding]:
    present = values[~is_missing(values)]
    plain = [value for value in present if isinstance(value, str | int | float | bool | np.generic)]
    if len(plain) < max(2, len(present)):
        return []
    known = pd.unique(pd.Series(plain, dtype=object))
    if len(known) > 1:
        return []
    holes = "" if len(plain) == len(values) else " that has it"
    said = f"Column '{name}' is {str(known[0])[:30]!r} in every row{holes}, so it says nothing; leave it out."
    return [Finding("constant-column", "warning", name, [], said)]


def _counter(name: str, values: np.ndarray) -> list[Finding]:
    """Whole numbers that number the rows."""
    parsed = numbers(values) if not is_missing(values).any() else np.array([])
    if len(parsed) < _ENOUGH or np.isnan(parsed).any() or (parsed != np.round(parsed)).any():
        return []
    steps = np.diff(parsed)
    ordered = np.sort(parsed)
    usual = float(np.median(steps))
    if usual != 0 and (steps == usual).mean() >= _REGULAR:
        what = "counts the rows"
    elif (steps > 0).all() or (steps < 0).all():
        what = f"only {'rises' if steps[0] > 0 else 'falls'} from row to row"
    elif (np.diff(ordered) == 1).all():
        what = "numbers the records, each once"
    else:
        return []
    said = (
        f"Column '{name}' {what}, which tells the order of the table and nothing of the record; state it with --column"
        f" '{name}=ignored', or with --key {name} if it names the record."
    )
    return [Finding("row-counter", "warning", name, [], said)]


def _sentinel(table: Table, name: str, parsed: np.ndarray) -> list[Finding]:
    """A number such as -999 that stands for a missing value, far from all others."""
    present = parsed[~np.isnan(parsed)]
    for value in _SENTINELS:
        which = parsed == value
        count, others = int(which.sum()), present[present != value]
        if count == 0 or len(others) < 5:
            continue
        low, high = others.min(), others.max()
        gap = max(low - value, value - high)
        wide = gap > max(high - low, 1) if abs(value) > 9 else value < 0 <= low and count >= 2 and _odd(others)
        if wide and (count >= 2 or value < -9):
            rows = at(table.rows, which)
            said = (
                f"Column '{name}' has {value:g} in {plural(count, 'cell')} ({listed(rows)}), far from the other values"
                f" ({low:g} to {high:g}), as if for a missing value; leave the cells empty."
            )
            return [Finding("placeholder", "warning", name, rows, said)]
    return []


def _odd(others: np.ndarray) -> bool:
    """Whether -1 would be strange among these: none of them is near zero, or they have fractions."""
    return bool(others.min() > 2 or (others != np.round(others)).any())


def _extremes(table: Table, name: str, parsed: np.ndarray) -> list[Finding]:
    which = extremes(parsed)
    if not which.any():
        return []
    rows = at(table.rows, which)
    inner = parsed[~which & ~np.isnan(parsed)]
    shown = ", ".join(f"{value:g}" for value in parsed[which][:3])
    said = (
        f"Column '{name}' has {plural(len(rows), 'extreme value')} ({shown} in {listed(rows)}), while the others lie"
        f" between {inner.min():g} and {inner.max():g}; look for a slip or another unit."
    )
    return [Finding("extreme-value", "warning", name, rows, said)]


def extremes(parsed: np.ndarray) -> np.ndarray:
    """bool [N]: values so far out that even a column with a long tail would not have them.

    Beyond twelve interquartile ranges and, where all values are positive, as far out in logarithms too.
    """
    none = np.zeros(len(parsed), dtype=bool)
    present = parsed[~np.isnan(parsed)]
    if len(present) < 8 or len(pd.unique(present)) < 5:
        return none
    out = _beyond(parsed, present, _SPREADS, 0.0)
    if (present >= 0).all() and (present > 0).mean() > 0.9:
        with np.errstate(divide="ignore"):
            logs, own = np.log10(parsed), np.log10(present[present > 0])
        out &= _beyond(logs, own, _LOG_SPREADS, _LEAST_FACTOR)
    out &= ~np.isnan(parsed)
    inner = parsed[~out & ~np.isnan(parsed)]
    low, high = inner.min(), inner.max()
    # Between a long tail and a slip there is a gap.
    out &= np.maximum(parsed - high, low - parsed) > high - low
    return out if out.sum() <= max(2, _MOST_EXTREMES * len(present)) else none


def _beyond(values: np.ndarray, present: np.ndarray, spreads: float, least: float) -> np.ndarray:
    low, high = np.quantile(present, [0.25, 0.75])
    spread = high - low
    if spread == 0:
        low, high = np.quantile(present, [0.05, 0.95])
        spread = high - low
    if spread == 0:
        return np.zeros(len(values), dtype=bool)
    reach = max(spreads * spread, least)
    with np.errstate(invalid="ignore"):
        return (values > high + reach) | (values < low - reach)


def _copies(table: Table, kinds: dict[str, str]) -> list[Finding]:
    """Input columns that say the same as an earlier one: equal, the same number in another unit, or renamed values."""
    found, seen = [], []
    for name in table.frame.columns:
        if kinds[name] not in ("number", "category", "text", "key", "image", "audio", "video"):
            continue
        values = table.frame[name].to_numpy()
        for other, before in seen:
            how = _same(before, values, (kinds[other], kinds[name]))
            if how:
                said = f"Column '{name}' {how} '{other}'; leave one of the two out with --column '{name}=ignored'."
                found.append(Finding("copied-column", "warning", name, [], said))
                break
        else:
            seen.append((name, values))
    return found


def _same(one: np.ndarray, two: np.ndarray, kinds: tuple[str, str]) -> str | None:
    gone = is_missing(one)
    if len(one) < 8 or (gone != is_missing(two)).any() or (~gone).sum() < 8:
        return None
    a, b = one[~gone], two[~gone]
    if kinds == ("number", "number"):
        return _same_numbers(numbers(a), numbers(b))
    if kinds[0] != kinds[1] and "category" not in kinds:
        return None
    try:
        first, second = ([to_label(value) for value in side] for side in (a, b))
    except ValueError:
        return None
    if first == second:
        return "is a copy of"
    if kinds != ("category", "category"):
        return None
    codes, others = pd.factorize(np.array(first, dtype=object))[0], pd.factorize(np.array(second, dtype=object))[0]
    return "names the same things as" if (codes == others).all() and codes.max() > 0 and len(a) >= _ENOUGH else None


def _same_numbers(a: np.ndarray, b: np.ndarray) -> str | None:
    if (a == b).all():
        return "is a copy of" if len(np.unique(a)) > 1 else None
    if len(a) < _ENOUGH or a.std() == 0 or b.std() == 0 or len(np.unique(a)) < 5:
        return None
    slope, start = np.polyfit(a, b, 1)
    error = np.abs(slope * a + start - b).max()
    return "is the same number on another scale as" if error <= 1e-3 * b.std() else None


def _names(table: Table) -> list[Finding]:
    """Column names that are hard to tell apart or to type."""
    found = []
    by_form: dict[str, list[str]] = {}
    for name in table.frame.columns:
        by_form.setdefault(name.strip().casefold(), []).append(name)
    for names in by_form.values():
        if len(names) > 1:
            said = f"The columns {quoted(names)} differ only in capitals or blanks; rename one."
            found.append(Finding("column-name", "note", names[1], [], said))
        elif names[0] != names[0].strip():
            said = f"The name of column {names[0]!r} has blanks around it; take them away."
            found.append(Finding("column-name", "note", names[0], [], said))
    return found
