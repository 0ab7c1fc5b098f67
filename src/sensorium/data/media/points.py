"""Sets of points: a file, a list or an array made float32 [P, C], coordinates first."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.data.columns.parse import numbers, objects
from sensorium.data.media.arrays import NPY, array_from_rows, check_size, describe_type, finite_column, read_npy
from sensorium.data.media.content import read_content

MOST_POINTS = 1_000_000
MOST_NUMBERS = 256


def decode(value: Any, root: Path, numbers_each: int | None = None) -> np.ndarray:
    """`value` as float32 [P, C]: P points of C numbers each, the coordinates first.

    `value` is a path or the bytes of a .npy file or of a text file (.csv, .xyz, .txt: a point a line, its numbers
    between commas, semicolons, tabs or spaces; a first line of names is not read), a list of points, or an array
    [P, C]. A point may occur more than once; none of its numbers may be missing. Raises ValueError with a reason
    when it cannot be read, has more than a million points, or, with `numbers_each`, another number of numbers a point.
    """
    value = read_content(value, root)
    if isinstance(value, bytes):
        check_size(value)
        value = read_npy(value) if value.startswith(NPY) else _from_text(value)
    points = _from_array(value)
    if numbers_each is not None and points.shape[1] != numbers_each:
        raise ValueError(f"it has {points.shape[1]} numbers a point where training had {numbers_each}")
    return points


def measure(value: Any, root: Path) -> dict[str, float]:
    """How many `points` the decoded `value` has, and how many `numbers` each."""
    points, numbers_each = decode(value, root).shape
    return {"points": points, "numbers": numbers_each}


def _from_text(content: bytes) -> np.ndarray:
    _check_count(content.count(b"\n"), 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("the file is no .npy and no text of numbers") from error
    text = text.lstrip()
    if not text:
        raise ValueError("it holds no points")
    # A first line without any number is a header.
    first_line, _, remainder = text.partition("\n")
    first_line = first_line.strip()
    delimiter = next((mark for mark in ",;\t" if mark in first_line), None)
    cells = [cell.strip() for cell in first_line.split(delimiter)]
    _check_count(1, len(cells))
    has_header = np.isnan(numbers(objects(cells))).all()
    if has_header and not remainder.strip():
        raise ValueError("it holds no points")
    try:
        return np.loadtxt(io.StringIO(text), delimiter=delimiter, skiprows=int(has_header), ndmin=2)
    except ValueError as error:
        # NumPy's sentence is followed by a hint on its own options.
        raise ValueError(f"the file is no table of numbers ({str(error).split(';')[0].rstrip('.')})") from error


def _from_array(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value)
    if isinstance(value, list | tuple):
        _check_count(len(value), 1)
        value = array_from_rows(value, "point")
    if isinstance(value, list):
        columns = [finite_column(column, "point", f"number {number}") for number, column in enumerate(value, 1)]
        value = np.stack(columns, axis=1)  # [P, C]
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "biuf":
        raise ValueError(f"points are rows of numbers or an array [points, numbers], not {describe_type(value)}")
    return _to_finite_points(value)


def _to_finite_points(value: np.ndarray) -> np.ndarray:
    _check_count(*value.shape)
    if not len(value):
        raise ValueError("it holds no points")
    if value.shape[1] < 2:
        raise ValueError("a point has one number where two coordinates are the least")
    with np.errstate(over="ignore"):
        points = value.astype(np.float32)
    invalid = np.argwhere(~np.isfinite(points))
    if len(invalid):
        row, column = invalid[0]
        raise ValueError(f"number {column + 1} of point {row + 1} is missing, infinite or too large")
    return points


def _check_count(points: int, numbers_each: int) -> None:
    if points > MOST_POINTS:
        raise ValueError(f"it has {points:,} points, more than the bound of a million")
    if numbers_each > MOST_NUMBERS:
        raise ValueError(f"it has {numbers_each:,} numbers a point, more than the bound of {MOST_NUMBERS}")
