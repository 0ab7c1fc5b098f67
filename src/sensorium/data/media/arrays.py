"""Arrays of numbers as files and lists hold them: bounded before they are read, never unpickled."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sensorium.console import shorten
from sensorium.data.columns.parse import convert_numbers, objects

LARGEST = 2**28
NPY = b"\x93NUMPY"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_size(content: bytes) -> None:
    """Raises ValueError when a file of numbers has more than 256 MiB."""
    if len(content) > LARGEST:
        raise ValueError(f"the file has {len(content) / 2**20:.0f} MiB, more than the bound of 256 MiB")


def read_npy(content: bytes) -> np.ndarray:
    """The array of a .npy file. Raises ValueError when it is cut short, is longer than it says, or holds no numbers.
    The header's shape must agree with the file's size, so it cannot ask for more memory than the file takes."""
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


def array_from_rows(rows: Sequence[Any], what: str) -> np.ndarray | list[np.ndarray]:
    """Rows of one length: float64 [L, N] when they are plain numbers, NaN for None; else N columns, object [L]. `what`
    is what a row is called, as `reading`. Raises ValueError when there is no row, or one that is not a list or has
    another length than the first."""
    if not len(rows):
        raise ValueError(f"it holds no {what}s")
    try:
        matrix = np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError):
        matrix = None
    if matrix is not None and matrix.ndim == 2:
        return matrix
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list | tuple | np.ndarray):
            raise ValueError(f"{what} {number} is {format_cell(row)}, not a list of numbers")
        if len(row) != len(rows[0]):
            raise ValueError(f"the first {what} has {len(rows[0])} numbers and {what} {number} has {len(row)}")
    return [objects(column) for column in zip(*rows, strict=True)]


def finite_column(values: np.ndarray, what: str, name: str) -> np.ndarray:
    """float64 [L]: the column `name` of numbers, NaN where a cell is empty. Raises ValueError for a cell that is not a
    finite number, naming the `what` (as `reading`) that it belongs to."""
    parsed, wrong = convert_numbers(values)
    if wrong:
        row = wrong[0][0]
        raise ValueError(f"in {what} {row + 1}, {name} is {format_cell(values[row])}, not a finite number")
    return parsed


def describe_type(value: Any) -> str:
    """What a value of the wrong kind is: an array's type and shape, else the name of its class."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


def format_cell(value: Any) -> str:
    """A value as a reason shows it, in at most 30 characters."""
    text = shorten(str(value.item() if isinstance(value, np.generic) else value), 30)
    return repr(text) if isinstance(value, str) else text
