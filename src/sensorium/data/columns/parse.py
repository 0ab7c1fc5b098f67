"""Cells of a column: which are absent, and the form that each kind gives them."""

import math
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

TIMES = ("time", "timestamp", "t")  # names of the column of times in a series
SCALARS = {str, int, float, bool, type(None)}
WrongCell = tuple[int, str]
"""The position of a cell that cannot be read, from 0, and why it cannot."""


def objects(values: Sequence[Any]) -> np.ndarray:
    """An object array [N] of `values`, each kept as it is, arrays and lists too."""
    return np.fromiter(values, dtype=object, count=len(values))


def is_missing(values: np.ndarray) -> np.ndarray:
    """bool [N]: True where a cell is None, NaN, NaT or an empty string."""
    absent = pd.isna(values)
    if values.dtype != object:
        return absent
    if set(map(type, values)) <= SCALARS:
        return absent | (values == "")
    return absent | np.fromiter((type(value) is str and not value for value in values), dtype=bool, count=len(values))


def numbers(values: np.ndarray) -> np.ndarray:
    """float64 [N]: each cell as a finite number, True as 1; NaN where absent or not one ('abc', 'nan', infinity)."""
    if values.dtype != object:
        parsed = values.astype(np.float64)
    else:
        plain = values
        if not set(map(type, values)) <= SCALARS:
            plain = objects([value if isinstance(value, str | Number) else None for value in values])
        parsed = pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(parsed), parsed, np.nan)


def to_label(value: Any) -> str:
    """A cell as the name of a class, category, group or key.

    3 and 3.0 are both '3', because a hole in a column makes floats of integers in pandas. Raises ValueError for a value
    without a name (a list, an array).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, Number):
        return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
    if isinstance(value, bytes | list | tuple | dict | np.ndarray) or not pd.api.types.is_scalar(value):
        raise ValueError(f"a {type(value).__name__} has no plain name")
    return str(value)


def count_in_order(names: np.ndarray) -> dict[str, float]:
    """How often each of the labels [N] occurs, in the order of their names, or of the numbers where all are numbers."""
    counted = pd.Series(names, dtype=object).value_counts()
    numbered = not np.isnan(numbers(counted.index.to_numpy(object))).any()
    return {name: int(counted[name]) for name in sorted(counted.index, key=float if numbered else None)}


def parse_text(value: Any) -> str:
    """The cell of a text column; texts of a list with commas between. Raises ValueError for anything else."""
    if is_words(value):
        return ", ".join(value)
    if not isinstance(value, str):
        raise ValueError("it is not text")
    return value


def is_words(value: Any) -> bool:
    """True for a list of texts."""
    return isinstance(value, list | tuple | np.ndarray) and all(isinstance(word, str) for word in value)


def is_sound(value: Any) -> bool:
    """True for decoded sound: (samples, rate in hertz)."""
    return _has_rate(value) and value[0].ndim <= 2


def is_film(value: Any) -> bool:
    """True for a decoded film: (frames, frames a second)."""
    return _has_rate(value) and value[0].ndim == 4


def _has_rate(value: Any) -> bool:
    """True for an array and a number: how many of its samples or frames make a second."""
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and isinstance(value[0], np.ndarray) and isinstance(value[1], Number)


def is_picture(value: Any) -> bool:
    """True for a decoded picture: an array of two or three axes, or a Pillow image."""
    return isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim in (2, 3))


def parse_medium(value: Any) -> Any:
    """The cell of a media column: a path as str, bytes, an array, (samples, hertz), (frames, rate) or a picture.

    Raises ValueError for anything else.
    """
    if isinstance(value, str | bytes | np.ndarray) or is_sound(value) or is_film(value) or is_picture(value):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise ValueError("it is not a path, bytes or a decoded array")


def is_timed(value: Any) -> bool:
    """True for readings with a time: columns, one of them named `time`, `timestamp` or `t`, or records with these."""
    if isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, dict) and any(str(name).strip().lower() in TIMES for name in value)


def is_rows(value: Any) -> bool:
    """True for rows of numbers: a list of lists, or a float array of two axes, which no picture is."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.ndim == 2 and value.dtype.kind == "f"
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        return False
    row = value[0]
    return isinstance(row, list | tuple | np.ndarray) and any(isinstance(cell, Number) for cell in row)


def parse_readings(value: Any) -> Any:
    """The cell of a series column: a path as str, bytes, an array, rows, or columns by name. Raises ValueError."""
    if isinstance(value, str | bytes | np.ndarray | list | tuple | dict):
        return value
    raise ValueError("it is not a path, rows [time, value, ...], an array or columns with a 'time'")


def parse_points(value: Any) -> Any:
    """The cell of a column of sets of points: a path as str, bytes, an array or rows. Raises ValueError."""
    if isinstance(value, str | bytes | np.ndarray | list | tuple):
        return value
    raise ValueError("it is not a path, rows of numbers or an array")


class CellFormat(NamedTuple):
    """How the cells of a kind are read: the parser of a cell, and the types that need no parsing."""

    parse: Callable[[Any], Any]
    plain: frozenset[type]


_LABEL = CellFormat(to_label, frozenset({str}))
_MEDIUM = CellFormat(parse_medium, frozenset({str, bytes}))
FORMATS: dict[str, CellFormat] = {
    "text": CellFormat(parse_text, frozenset({str})),
    "image": _MEDIUM,
    "audio": _MEDIUM,
    "video": _MEDIUM,
    "film": _MEDIUM,
    "series": CellFormat(parse_readings, frozenset({str, bytes, list, dict})),
    "points": CellFormat(parse_points, frozenset({str, bytes, list})),
    "category": _LABEL,
    "group": _LABEL,
    "key": _LABEL,
}
"""How each kind of column is read, but for numbers, dates and ignored ones."""


def holds_numbers(kind: str) -> bool:
    """Whether the cells of this kind of column are numbers."""
    return kind == "number"


def holds_dates(kind: str) -> bool:
    """Whether the cells of this kind of column are dates, as seconds since 1970."""
    return kind == "date"


def modalities_of(kind: str) -> dict[str | None, str]:
    """The inputs that this kind of column makes by itself: their modalities by part, None being the whole column."""
    if kind == "film":
        return {None: "video", "sound": "audio"}
    if kind in ("number", "date", "category"):
        return {None: "table"}
    return {} if kind in ("group", "key", "ignored", "target") else {None: kind}


def takes_text(kind: str) -> bool:
    """Whether a string is a cell of this kind of column without conversion."""
    return kind in FORMATS and str in FORMATS[kind].plain


def convert_numbers(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
    """The cells [N] as float64, NaN where absent or wrong, and those that are no finite number."""
    converted = numbers(values)
    wrong = np.flatnonzero(np.isnan(converted) & ~is_missing(values))
    return converted, [(int(row), "it is not a finite number") for row in wrong]


def convert_cells(values: np.ndarray, cell_format: CellFormat) -> tuple[np.ndarray, list[WrongCell]]:
    """The cells [N] as an object array, None where absent or wrong, and those that do not fit."""
    cells, wrong = np.full(len(values), None, dtype=object), []
    rows = np.flatnonzero(~is_missing(values))
    present = values[rows]
    if values.dtype == object and set(map(type, present)) <= cell_format.plain:
        cells[rows] = present
        return cells, wrong
    for row, value in zip(rows, present, strict=True):
        try:
            cells[row] = cell_format.parse(value)
        except ValueError as error:
            wrong.append((int(row), str(error)))
    return cells, wrong
