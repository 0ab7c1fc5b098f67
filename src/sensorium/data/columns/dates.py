"""Dates and times: recognised as they are written, read as seconds, and taken apart for a model."""

import re
from datetime import date

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing

_CLOCK = r"(?:[T ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_YEAR_FIRST = re.compile(rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{_CLOCK}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(?:\d{{4}}|\d{{2}}){_CLOCK}")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_WORDED = re.compile(
    rf"(?:[a-z]{{3,9}}, ?)?(?:\d{{1,2}}[ -]{_MONTH}[ -]\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}}){_CLOCK}", re.IGNORECASE
)
_DAY = 86400.0


def looks_like_date(text: str) -> bool:
    """Whether a text has the form of a date, with or without a time."""
    return any(form.fullmatch(text) for form in (_YEAR_FIRST, _YEAR_LAST, _WORDED))


def order_of(texts: list[str]) -> tuple[bool, bool]:
    """(day before month, whether any text shows it) of dates such as 5/1/2024. Points mark the day first."""
    matches = [match for match in map(_YEAR_LAST.fullmatch, texts) if match]
    day_first = any(int(match[1]) > 12 for match in matches)
    month_first = any(int(match[3]) > 12 for match in matches)
    if day_first or month_first:
        return day_first, True
    return any(match[2] == "." for match in matches), not any(match[2] != "." for match in matches)


def parse_dates(values: np.ndarray, day_first: bool = False) -> np.ndarray:
    """float64 [N]: seconds since 1970 of each cell, in UTC where a zone is stated; NaN where absent or no date."""
    seconds = np.full(len(values), np.nan)
    present = np.flatnonzero(~is_missing(values))
    codes, distinct = pd.factorize(np.array([_plain(value) for value in values[present]], dtype=object))
    texts = pd.Series([text if text is not None and looks_like_date(text) else None for text in distinct], dtype=object)
    # pandas would take the day for the first of the two behind a year as well.
    year_first = texts.map(lambda text: text is not None and _YEAR_FIRST.fullmatch(text) is not None).to_numpy(bool)
    parsed = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[ns, UTC]")
    for where, days in ((year_first, False), (~year_first, day_first)):
        parsed[where] = pd.to_datetime(texts[where], format="mixed", dayfirst=days, utc=True, errors="coerce")
    by_text = np.append((parsed - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64), np.nan)
    seconds[present] = by_text[codes]
    return seconds


def _plain(value: object) -> str | None:
    """A date as text; None for what is neither text nor date."""
    if isinstance(value, str):
        return value.strip()
    return value.isoformat() if isinstance(value, date) else None


def has_hours(seconds: np.ndarray) -> bool:
    """Whether the times, float64 [N], are more than dates."""
    present = seconds[~np.isnan(seconds)]
    return bool((present % _DAY != 0).any())


def date_features(seconds: np.ndarray, hours: bool) -> dict[str, np.ndarray]:
    """What a model reads of dates, seconds float64 [N]: numbers, float64 [N] with NaN, and names, object [N] with None.

    `year`, `trend` (days since 1970) and `hour`, where `hours`, are numbers; `month` and `weekday` are categories.
    """
    absent = np.isnan(seconds)
    times = pd.Series(pd.to_datetime(np.where(absent, 0, seconds), unit="s"))
    names = {"month": times.dt.month_name(), "weekday": times.dt.day_name()}
    measures = {"year": times.dt.year, "trend": pd.Series(seconds / _DAY)}
    measures |= {"hour": times.dt.hour + times.dt.minute / 60} if hours else {}
    features = {name: np.where(absent, np.nan, values.to_numpy(np.float64)) for name, values in measures.items()}
    return features | {name: np.where(absent, None, values.to_numpy(object)) for name, values in names.items()}
