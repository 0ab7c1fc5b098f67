"""How cells are written: placeholders, units, commas, dates, damaged letters; each said, and mended for the rest."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers, objects
from sensorium.inspection.finding import Finding, at, listed, plural, quoted

_PLACEHOLDERS = {
    "n/a", "n.a.", "n/a.", "#n/a", "#na", "<na>", "nan", "null", "(null)", "nil", "-", "--", "---", "?", "??", "???",
    "\\n", "missing", "undefined", "tbd", "not available", "#value!", "#ref!", "#div/0!",
}  # fmt: skip
_IN_NUMBERS = _PLACEHOLDERS | {
    "na",
    "none",
    "unknown",
    "unk",
    "x",
    ".",
    "..",
    "...",
    "*",
    "empty",
    "no data",
    "inf",
    "-inf",
}
_PATH = re.compile(r".+\.[A-Za-z0-9]{2,4}$")
_NUMBER = r"[+-]?(?:\d[\d ,.']*\d|\d|\.\d+)"
_CURRENCY = "€$£¥"
_WITH_UNIT = re.compile(
    rf"(?:(?P<before>[{_CURRENCY}])\s*(?P<first>{_NUMBER})|(?P<second>{_NUMBER})\s*(?P<after>[A-Za-zµμ°%{_CURRENCY}][A-Za-zµμ°%²³/]{{0,9}})\.?)"
)
_UNITS = {
    "kg", "g", "mg", "µg", "lb", "lbs", "oz", "t", "m", "cm", "mm", "km", "nm", "in", "ft", "yd", "mi", "s", "sec",
    "secs", "ms", "min", "mins", "h", "hr", "hrs", "d", "day", "days", "w", "week", "weeks", "y", "yr", "yrs",
    "year", "years", "month", "months", "l", "ml", "cl", "dl", "kb", "mb", "gb", "tb", "usd", "eur", "gbp", "chf",
    "%", "°c", "°f", "°", "c", "f", "k", "kw", "mw", "v", "mv", "a", "ma", "hz", "khz", "mhz", "bpm", "px",
    "pcs", "kcal", "cal", "kj", "j", "n", "pa", "kpa", "mpa", "bar", "psi", "m/s", "km/h", "kmh", "mph", "m²", "m2",
    "cm²", "km²", "m³", "€", "$", "£", "¥", "x",
}  # fmt: skip
_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DATES = {
    "2024-03-31": re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}.*)?"),
    "2024/03/31": re.compile(r"\d{4}/\d{1,2}/\d{1,2}(?: .*)?"),
    "31.03.2024": re.compile(r"\d{1,2}\.\d{1,2}\.(?:\d{4}|\d{2})(?: .*)?"),
    "31/03/2024": re.compile(r"(?:1[3-9]|2\d|3[01])[/-]\d{1,2}[/-](?:\d{4}|\d{2})(?: .*)?"),
    "03/31/2024": re.compile(r"\d{1,2}[/-](?:1[3-9]|2\d|3[01])[/-](?:\d{4}|\d{2})(?: .*)?"),
    "03/04/2024": re.compile(r"\d{1,2}[/-]\d{1,2}[/-](?:\d{4}|\d{2})(?: .*)?"),
    "31 March 2024": re.compile(r"\d{1,2}[. -]+[A-Za-z]{3,9}[., -]+\d{2,4}"),
    "March 31, 2024": re.compile(r"[A-Za-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}"),
}
_UNSURE = "03/04/2024"
_MOSTLY = 0.6


class Written(NamedTuple):
    """A column's cells [N] mended as far as they can be (placeholders absent, numbers read), and what was found."""

    cells: np.ndarray
    findings: list[Finding]
    dates: bool = False
    numeric: bool = False


def look(name: str, values: np.ndarray, rows: np.ndarray) -> Written:
    """Looks at how the cells [N] of a column are written; `rows` [N] are their numbers in the source."""
    texts = np.fromiter((type(value) is str and bool(value) for value in values), dtype=bool, count=len(values))
    if not texts.any():
        return Written(values, [])
    codes, distinct = pd.factorize(values[texts])
    counts = np.bincount(codes)
    place = np.full(len(values), -1)
    place[texts] = codes
    column = _Column(name, rows, place, [str(one).strip() for one in distinct], counts, values)
    found = _damaged(column)
    numeric, likes = _like_numbers(column)
    dates = _dates(column)
    known = _IN_NUMBERS if numeric or dates is not None or _like_paths(column) else _PLACEHOLDERS
    held = np.array([one.casefold() in known or (one == "NA") for one in column.texts])
    if held.all():  # a column of question marks says nothing of what is missing
        held[:] = False
    cells = values
    if held.any() and not _is_value(column, held, numeric):
        found.append(_placeholder(column, held))
        cells = objects(
            [None if where >= 0 and held[where] else value for where, value in zip(place, cells, strict=True)]
        )
    if numeric:
        found += [finding for like in likes for finding in [like(column)] if finding]
        parsed = [_number(one, column) for one in column.texts]
        cells = objects(
            [parsed[where] if where >= 0 and not held[where] and parsed[where] is not None else value
             for where, value in zip(place, cells, strict=True)]
        )  # fmt: skip
    return Written(cells, found + (dates or []), dates is not None, numeric)


class _Column:
    """A column by its different stripped texts: `texts` [M], `counts` [M], and which of them each row has ([N], -1)."""

    def __init__(
        self, name: str, rows: np.ndarray, place: np.ndarray, texts: list[str], counts: np.ndarray, values: np.ndarray
    ):
        self.name, self.rows, self.place, self.texts, self.counts = name, rows, place, texts, counts
        others = place < 0
        self.loose = int((others & ~is_missing(values)).sum())  # cells that are no text, mostly numbers
        commas = [one for one in texts if "," in one and re.search(r"\d,\d", one)]
        self.thousands = bool(commas) and all(_THOUSANDS.fullmatch(_bare(one)) for one in commas)

    def rows_of(self, which: np.ndarray) -> list[int]:
        """The rows whose text is one of `which`, bool [M]."""
        held = np.append(which, False)
        return at(self.rows, held[self.place])


def _bare(text: str) -> str:
    """A number without its unit; the text itself when it has none."""
    match = _WITH_UNIT.fullmatch(text)
    return (match["first"] or match["second"]) if match else text


def _unit(text: str) -> str | None:
    match = _WITH_UNIT.fullmatch(text)
    return match and (match["before"] or match["after"])


def _number(text: str, column: _Column) -> float | None:
    """The number a text stands for, in its own unit; None when it is none."""
    bare = _bare(text).replace(" ", "").replace("'", "")
    if "," in bare:
        bare = bare.replace(",", "") if column.thousands else bare.replace(".", "").replace(",", ".")
    try:
        return float(bare) if re.match(r"[+-]?[\d.]", bare) else None
    except ValueError:
        return None


def _like_numbers(column: _Column) -> tuple[bool, list[Callable[[_Column], Finding | None]]]:
    """Whether the column is one of numbers, however they are written, and what is to be said of the writing."""
    plain = ~np.isnan(numbers(objects(column.texts)))
    coded = np.array([re.match(r"[+-]?0\d", one) is not None for one in column.texts])
    units = np.array([_unit(one) or "" for one in column.texts], dtype=object)
    named = {one.casefold() for one in units if one}
    commas = np.array(
        [
            _COMMA.fullmatch(_bare(one)) is not None or _THOUSANDS.fullmatch(_bare(one)) is not None
            for one in column.texts
        ]
    )
    held = np.array([one.casefold() in _IN_NUMBERS for one in column.texts])
    if not (named <= _UNITS or (len(named) <= 2 and min(map(len, named)) >= 2 and len(column.texts) >= 5)):
        units[:] = ""
    with_unit = units != ""
    like = (plain | with_unit | commas) & ~coded
    total = column.counts[~held].sum() + column.loose
    share = (column.counts[like & ~held].sum() + column.loose) / max(total, 1)
    if share < _MOSTLY or (like & ~held).sum() + column.loose < 3:
        return False, []
    says: list[Callable[[_Column], Finding | None]] = []
    if with_unit.any():
        says.append(lambda one: _units_found(one, with_unit, units))
    if commas.any():
        says.append(lambda one: _commas_found(one, commas))
    strange = ~(like | held) & ~coded
    if strange.any() and share > 0.9:
        says.append(lambda one: _strange_found(one, strange))
    return True, says


def _units_found(column: _Column, which: np.ndarray, units: np.ndarray) -> Finding:
    rows = column.rows_of(which)
    named = pd.unique(units[which])
    mixed = len(named) > 1 or not which.all() or column.loose
    example = column.texts[int(np.flatnonzero(which)[0])]
    told = (
        f"in more than one way ({quoted(named)}{'' if which.all() and not column.loose else ', or none'})"
        if mixed
        else f"with the unit {quoted(named)}"
    )
    return Finding(
        "number-with-unit", "warning", column.name, rows,
        f"Column '{column.name}' holds numbers written {told}, such as '{example}' in {listed(rows)}, which are read as"
        f" words; write plain numbers of one unit, and name the unit in the column's name.",
    )  # fmt: skip


def _commas_found(column: _Column, which: np.ndarray) -> Finding:
    rows = column.rows_of(which)
    example = column.texts[int(np.flatnonzero(which)[0])]
    what = "a comma between thousands" if column.thousands else "a decimal comma"
    mend = "without it" if column.thousands else "with a point"
    return Finding(
        "decimal-comma", "warning", column.name, rows,
        f"Column '{column.name}' holds numbers with {what}, such as '{example}' in {listed(rows)}, which are not read"
        f" as numbers; write them {mend}.",
    )  # fmt: skip


def _strange_found(column: _Column, which: np.ndarray) -> Finding:
    rows = column.rows_of(which)
    words = [one for one, yes in zip(column.texts, which, strict=True) if yes]
    have = "has" if len(rows) == 1 else "have"
    return Finding(
        "words-among-numbers", "warning", column.name, rows,
        f"Column '{column.name}' holds numbers, but {listed(rows)} {have} {quoted(words)};"
        f" mend {'it' if len(rows) == 1 else 'them'}, or leave the cell empty.",
    )  # fmt: skip


def _like_paths(column: _Column) -> bool:
    share = column.counts[[_PATH.fullmatch(one) is not None for one in column.texts]].sum()
    return bool(share >= _MOSTLY * column.counts.sum())


def _is_value(column: _Column, held: np.ndarray, numeric: bool) -> bool:
    """Whether what looks like a placeholder is one of the few values of a scale, such as + and -."""
    others = [one for one, yes in zip(column.texts, held, strict=True) if not yes]
    return not numeric and len(others) <= 6 and all(re.fullmatch(r"\W{1,3}", one) for one in others)


def _placeholder(column: _Column, held: np.ndarray) -> Finding:
    rows = column.rows_of(held)
    words = [one for one, yes in zip(column.texts, held, strict=True) if yes]
    return Finding(
        "placeholder", "warning", column.name, rows,
        f"Column '{column.name}' has {quoted(words)} in {plural(len(rows), 'cell')} ({listed(rows)}), which stands for"
        " a missing value but is read as a value; leave the cells empty.",
    )  # fmt: skip


def _dates(column: _Column) -> list[Finding] | None:
    """What is wrong with a column of dates; None when it is none."""
    form = np.array(
        [next((name for name, known in _DATES.items() if known.fullmatch(one)), "") for one in column.texts]
    )
    held = np.array([one.casefold() in _IN_NUMBERS for one in column.texts])
    if column.counts[form != ""].sum() < _MOSTLY * column.counts[~held].sum() or not (form != "").any():
        return None
    sure = set(form[form != ""]) - {_UNSURE}
    if len(sure) > 1 or (_UNSURE in form and sure - {"31/03/2024", "03/31/2024"}):
        shown = [
            next(one for one, has in zip(column.texts, form, strict=True) if has == name)
            for name in sorted(set(form) - {""})
        ]
        common = max(sorted(set(form) - {""}), key=lambda name: column.counts[form == name].sum())
        rows = column.rows_of((form != common) & (form != ""))
        return [
            Finding(
                "mixed-dates", "warning", column.name, rows,
                f"Column '{column.name}' holds dates in several forms ({quoted(shown)}; {listed(rows)} not as the"
                f" rest); write all as 2024-03-31, make numbers of them, or state --column '{column.name}=ignored'.",
            )
        ]  # fmt: skip
    return []


def _damaged(column: _Column) -> list[Finding]:
    """Letters that were read in another encoding than they were written in, as Ã© for é."""
    which = np.array([_is_damaged(one) for one in column.texts])
    if not which.any():
        return []
    rows = column.rows_of(which)
    example = next(one for one, yes in zip(column.texts, which, strict=True) if yes)
    place = re.search(r"[ÃÂâÐÑï\ufffd]", example)
    start = max(0, (place.start() if place else 0) - 10)
    return [
        Finding(
            "encoding-damage", "warning", column.name, rows,
            f"Column '{column.name}' has letters damaged by a wrong encoding, such as {example[start : start + 30]!r}"
            f" in {listed(rows)}; save the source anew as UTF-8.",
        )
    ]  # fmt: skip


def _is_damaged(text: str) -> bool:
    if "\ufffd" in text:
        return True
    if not re.search(r"[ÃÂâÐÑïðÅÄ][\u0080-\u00bf\u2018-\u203a\u20ac\u0152-\u0178\u2122\u02c6\u02dc]", text):
        return False
    for part in re.findall(r"[\u0080-\uffff]{2,}", text):
        for encoding in ("cp1252", "latin-1"):
            try:
                part.encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
            return True
    return False
