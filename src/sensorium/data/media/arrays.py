"""Arrays of numbers as files and lists hold them: bounded before they are read, never unpickled."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sensorium.data.columns.parse import is_missing, numbers, objects

LARGEST = 2**28
NPY = b"\x93NUMPY"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_size(content: bytes) -> None:
    """Raises ValueError when a file of numbers has more than 256 MiB."""
    if len(content) > LARGEST:
        raise ValueError(f"the file has {len(content) / 2**20:.0f} MiB, more than the bound of 256 MiB")


def read_npy(content: bytes) -> np.ndarray:
    """The array of a .npy file. Raises ValueError when it is cut short, is longer than it says, or holds no numbers.

    The header is believed only as far as the file goes, so it cannot ask for more memory than the file takes.
    """
    file = io.BytesIO(content)
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, EOFError) as error:
        raise ValueError("the file is not a .npy array that can be read") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"the array is of the type {dtype}, and only numbers are read")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError("the .npy file is cut short or damaged")
    return np.load(io.BytesIO(content), allow_pickle=False)


def from_rows(rows: Sequence[Any], what: str) -> np.ndarray | list[np.ndarray]:
    """Rows of one length: float64 [L, N] when they are plain numbers, NaN for None; else N columns, object [L].

    `what` is what a row is called, as `reading`. Raises ValueError when a row is none, or has another length than the
    first, or there is none.
    """
    if not len(rows):
        raise ValueError(f"it holds no {what}s")
    try:
        plain = np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError):
        plain = None
    if plain is not None and plain.ndim == 2:
        return plain
    for place, row in enumerate(rows, 1):
        if not isinstance(row, list | tuple | np.ndarray):
            raise ValueError(f"{what} {place} is {brief(row)}, not a list of numbers")
        if len(row) != len(rows[0]):
            raise ValueError(f"the first {what} has {len(rows[0])} numbers and {what} {place} has {len(row)}")
    return [objects(column) for column in zip(*rows, strict=True)]


def finite(values: np.ndarray, what: str, name: str) -> np.ndarray:
    """float64 [L]: the column `name` of numbers, NaN where it is empty. Raises ValueError for what is no finite number,
    naming the `what` (as `reading`) it stands in."""
    found = numbers(values)
    wrong = np.flatnonzero(np.isnan(found) & ~is_missing(values))
    if len(wrong):
        raise ValueError(f"in {what} {wrong[0] + 1}, {name} is {brief(values[wrong[0]])}, not a finite number")
    return found


def brief(value: Any) -> str:
    """A value as a reason shows it, in at most 30 characters."""
    shown = " ".join(str(value.item() if isinstance(value, np.generic) else value).split())
    shown = shown if len(shown) <= 30 else f"{shown[:27]}..."
    return repr(shown) if isinstance(value, str) else shown
