"""How cells are written (words for a missing value, units, commas, dates, spellings), and reading them as meant."""

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from sensorium.data.columns.dates import has_hours, looks_like_date, order_of, parse_dates
from sensorium.data.columns.parse import (
    FORMATS,
    WrongCell,
    convert_cells,
    convert_numbers,
    holds_dates,
    holds_numbers,
    is_missing,
    numbers,
    objects,
)
from sensorium.data.columns.spelling import Names

_PLACEHOLDERS = {
    "n/a", "n.a.", "n/a.", "#n/a", "#na", "<na>", "nan", "null", "(null)", "nil", "-", "--", "---", "?", "??", "???",
    "\\n", "missing", "undefined", "tbd", "not available", "#value!", "#ref!", "#div/0!",
}  # fmt: skip
# Words that are values elsewhere, but not among numbers, dates or paths.
_NO_NUMBERS = {"na", "none", "unknown", "unk", "x", ".", "..", "...", "*", "empty", "no data", "inf", "-inf"}
_NUMBER = (
    r"(?P<currency>[€$£¥]?)\s*(?P<number>[+-]?(?:\d[\d ,.']*\d|\d|\.\d+))"
    r"\s*(?P<unit>(?:[^\W\d_]|[%°€$£¥])[\w³²/]{0,9})?\.?"
)
_PATH = r".+\.[A-Za-z0-9]{2,4}"
_DECIMAL_COMMA, _THOUSANDS = r"[+-]?\d+(?:\.\d{3})*,\d+", r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_MOSTLY = 0.6  # share of the cells from which a column is one of numbers, dates or paths
_MOST_UNITS = 4  # with none


class Reading(BaseModel):
    """How the cells of a column are read; saved in the schema, so that a prediction reads as the training did.

    holds: texts that are numbers, or dates, are read as these. placeholders: words for a missing value are absent;
    beside the plain ones (`N/A`, `?`), in numbers, dates and paths also those that could be values elsewhere (`none`).
    comma: what a comma in a number means. units: what stands beside the numbers, and is dropped. day_first: 5/1/2024 is
    the fifth of January. hours: dates with a time of the day. values: the names of a category in training, each in its
    commonest spelling, which other spellings are read as.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    holds: Literal["number", "date"] | None = None
    placeholders: Literal["none", "plain", "all"] = "none"
    comma: Literal["decimal", "thousands"] | None = None
    units: list[str] = []
    day_first: bool = False
    hours: bool = False
    values: list[str] = []


class Fault(NamedTuple):
    """What is odd about how some cells, bool [N], are written: a short name, what they have, and what to do."""

    kind: str
    where: np.ndarray
    words: str
    remedy: str


class Written(NamedTuple):
    """How the cells of a column seem to be written, and what is odd in it."""

    reading: Reading
    faults: list[Fault]


def infer_reading(values: np.ndarray) -> Written:
    """How the raw cells [N] of a column are written."""
    stripped = [value.strip() if isinstance(value, str) and value else None for value in values]
    codes, distinct = pd.factorize(np.array(stripped, dtype=object))  # [N], [M]
    texts, counts = pd.Series(distinct, dtype=object), np.bincount(codes[codes >= 0])
    if not len(texts):
        return Written(Reading(), [])
    no_strings = int((~is_missing(values) & (codes < 0)).sum())
    plain, every = _placeholders(texts, "plain"), _placeholders(texts, "all")
    mostly = _MOSTLY * (counts[~every].sum() + no_strings)
    reading, faults = _infer_numbers(texts, counts, every, no_strings), []
    if reading is None:
        dates = texts.where(~every, "").map(looks_like_date)
        are_dates = not no_strings and dates.any() and counts[dates].sum() >= mostly
        reading = _infer_dates(texts[dates], faults, values) if are_dates else Reading()
    is_path = texts.where(~every, "").str.fullmatch(_PATH)
    absent = every if reading.holds or counts[is_path].sum() >= mostly else plain
    if texts[~absent].str.fullmatch(r"\W{1,3}").all():  # the few values of a scale, as + and -
        absent = absent & False
    placeholders = "all" if reading.holds or absent is every else "plain"
    reading = reading.model_copy(update={"placeholders": placeholders if reading.holds or absent.any() else "none"})
    if absent.any():
        words = f"words for a missing value ({_listed(texts[absent])})"
        faults.append(Fault("placeholder", np.append(absent, False)[codes], words, "they are read as absent"))
    if reading.holds == "number":
        faults += _number_faults(texts, codes, reading, absent)
    return Written(reading, faults)


def _placeholders(texts: pd.Series, which: Literal["plain", "all"]) -> pd.Series:
    """bool [M]: which of the stripped texts stand for a missing value."""
    folded = texts.str.casefold()
    plain = folded.isin(_PLACEHOLDERS) | (texts == "NA")
    return plain | folded.isin(_NO_NUMBERS) if which == "all" else plain


def _infer_numbers(texts: pd.Series, counts: np.ndarray, absent: pd.Series, no_strings: int) -> Reading | None:
    """How numbers are written, when most of the cells are some; else None. no_strings: cells that are no text."""
    plain = pd.Series(numbers(texts.to_numpy()))
    matched = texts.where(plain.isna() & ~absent, "").str.extract(f"^{_NUMBER}$").fillna("")
    commas = matched["number"][matched["number"].str.contains(",")].str.replace(r"[ ']", "", regex=True)
    comma = None
    if len(commas):
        comma = "thousands" if commas.str.fullmatch(_THOUSANDS).all() else "decimal"
    units = (matched["currency"] + matched["unit"])[matched["number"] != ""]
    reading = Reading(holds="number", comma=comma, units=sorted(set(units) - {""}))
    value = _numbers_of_texts(texts, reading)
    count = counts[value.notna()].sum() + no_strings
    few = value.notna().sum() + no_strings < 3 or units[value.notna()].nunique() > _MOST_UNITS
    return None if few or count < _MOSTLY * (counts[~absent].sum() + no_strings) else reading


def _numbers_of_texts(texts: pd.Series, reading: Reading) -> pd.Series:
    """float64 [M]: the number that each text stands for as `reading` says, NaN for none; '007' is a code."""
    plain = pd.Series(numbers(texts.to_numpy()), index=texts.index)
    matched = texts.where(plain.isna(), "").str.extract(f"^{_NUMBER}$").fillna("")
    digits = matched["number"].str.replace(r"[ ']", "", regex=True)
    has_comma = digits.str.fullmatch(_THOUSANDS if reading.comma == "thousands" else _DECIMAL_COMMA)
    if reading.comma == "thousands":
        digits = digits.where(~has_comma, digits.str.replace(",", ""))
    elif reading.comma == "decimal":
        digits = digits.where(~has_comma, digits.str.replace(".", "").str.replace(",", "."))
    unit = matched["currency"] + matched["unit"]
    allowed = unit.isin(reading.units) if reading.units else unit == ""
    value = plain.fillna(pd.to_numeric(digits.where(allowed | (unit == "")), errors="coerce"))
    value[texts.str.match(r"[+-]?0\d") | ~np.isfinite(value)] = np.nan
    return value


def _number_faults(texts: pd.Series, codes: np.ndarray, reading: Reading, absent: pd.Series) -> list[Fault]:
    plain = np.isnan(numbers(texts.to_numpy())) & ~absent & _numbers_of_texts(texts, reading).notna()
    commas = plain & texts.str.contains(",")
    with_units = plain & texts.str.contains(r"[^\d\s,.'+-]", regex=True)
    meaning = "a decimal point" if reading.comma == "decimal" else "a mark between thousands"
    faults = [
        ("number-with-unit", with_units, "numbers with a unit", "which is dropped", "check that all have one unit"),
        ("decimal-comma", commas, "numbers with a comma", f"which is read as {meaning}", "check that it is meant so"),
    ]
    return [
        Fault(kind, np.append(cells, False)[codes], f"{words}, such as {_listed(texts[cells])}, {effect},", remedy)
        for kind, cells, words, effect, remedy in faults
        if cells.any()
    ]


def _infer_dates(texts: pd.Series, faults: list[Fault], values: np.ndarray) -> Reading:
    """How dates are written; adds to `faults` when the day and the month could be either."""
    day_first, is_clear = order_of(texts.tolist())
    if not is_clear:
        where = ~np.isnan(parse_dates(values)) & np.array(["/" in str(value) or "-" in str(value) for value in values])
        words = f"dates such as {_listed(texts)}, read with the month first,"
        faults.append(Fault("unclear-date", where, words, "where the day is meant first, write 2024-01-31"))
    return Reading(holds="date", day_first=day_first, hours=has_hours(parse_dates(texts.to_numpy(), day_first)))


def _listed(texts: pd.Series) -> str:
    examples = [repr(text if len(text) <= 40 else f"{text[:37]}...") for text in texts[:3]]
    return ", ".join(examples) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def as_meant(values: np.ndarray, reading: Reading) -> np.ndarray:
    """The cells [N] with words for a missing value made None and, where the column holds numbers, texts that are
    numbers made these."""
    if reading.placeholders == "none" and reading.holds is None:
        return values
    stripped = [value.strip() if isinstance(value, str) and value else None for value in values]
    codes, distinct = pd.factorize(np.array(stripped, dtype=object))
    texts = pd.Series(distinct, dtype=object)
    if not len(texts):
        return values
    meant = texts.copy()
    if reading.holds == "number":
        parsed = _numbers_of_texts(texts, reading)
        meant = meant.where(parsed.isna(), parsed.astype(object))
    changed = pd.Series(meant.to_numpy() != texts.to_numpy())
    if reading.placeholders != "none":
        absent = _placeholders(texts, reading.placeholders)
        meant, changed = meant.where(~absent, None), changed | absent
    if not changed.any():
        return values
    where, by_code = np.append(changed, False)[codes], np.append(meant.to_numpy(object), None)[codes]
    return objects([new if differs else old for old, new, differs in zip(values, by_code, where, strict=True)])


def convert(values: np.ndarray, kind: str, reading: Reading | None = None) -> tuple[np.ndarray, list[WrongCell]]:
    """The cells [N] in the form of the column `kind`, and those that do not fit, absent in it.

    Numbers and dates (seconds since 1970) are float64 [N] with NaN where absent; every other kind an object array [N]
    with None where absent.
    """
    if kind == "ignored":
        return values, []
    reading = reading or Reading()
    if holds_dates(kind):
        meant = as_meant(values, reading)
        seconds = parse_dates(meant, reading.day_first)
        wrong = np.flatnonzero(np.isnan(seconds) & ~is_missing(meant))
        return seconds, [(int(row), "it is not a date") for row in wrong]
    if holds_numbers(kind):
        return convert_numbers(as_meant(values, reading))
    cells, wrong = convert_cells(as_meant(values, reading), FORMATS[kind])
    return (respelled(cells, reading.values) if reading.values else cells), wrong


def respelled(cells: np.ndarray, names: list[str]) -> np.ndarray:
    """Names, or lists of names, object [N] with None, each in the spelling that `names` has of it where it has one."""
    spellings = Names(names)
    if set(map(type, cells)) <= {str, type(None)}:
        codes, distinct = pd.factorize(cells)
        return np.append(objects([spellings.find(name) or name for name in distinct]), [None])[codes]
    return objects([cell and [spellings.find(name) or name for name in cell] for cell in cells])
