"""What no cell may be, of whatever source: half a character, or a whole number beyond all floats."""

import csv
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data import strings
from sensorium.errors import UserError

_MOST_BITS = 1023  # of a whole number that is a float as well

# What Python's, pandas' and Arrow's readers raise of values that are beyond their bounds.
UNREADABLE = (ValueError, OverflowError, RecursionError, csv.Error, pa.ArrowException)


def describe_unreadable(error: Exception) -> str:
    """What one of UNREADABLE objects to, in a few words."""
    if isinstance(error, UnicodeEncodeError):
        return f"half a character ({error.object[max(0, error.start - 30) : error.end]!r})"
    return f"what cannot be read ({str(error).split(';')[0].split(': value')[0]})"


def check_cells(frame: pd.DataFrame, name: str) -> None:
    """Raises UserError for the first column name or cell of the table `name` that is no text or number to the
    libraries that everything is written with, and one of UNREADABLE for a compact text that is not UTF-8.
    """
    for column in frame.columns:
        if not _is_text(column):
            raise UserError(f"{name} has a column named {column!r}, which holds half a character; rename it.")
        if strings.is_compact(frame[column]):
            strings.check_encoding(frame[column])
        if frame[column].dtype != object:
            continue
        for row, cell in enumerate(frame[column].to_numpy(), 1):
            fault = _fault(cell)
            if fault:
                raise UserError(f"Row {row}, column '{column}' of {name} holds {fault}; mend that cell.")


def _fault(cell: Any) -> str | None:
    """What is wrong with a cell, or with one within it; None when nothing is."""
    if isinstance(cell, str):
        return None if _is_text(cell) else f"half a character ({cell[:60]!r})"
    if isinstance(cell, int):
        return None if cell.bit_length() <= _MOST_BITS else f"a whole number of {int(math.log10(abs(cell)))} digits"
    if isinstance(cell, list | tuple | dict):
        cells = [*cell, *cell.values()] if isinstance(cell, dict) else cell
        return next(filter(None, map(_fault, cells)), None)
    return _fault(cell.tolist()) if isinstance(cell, np.ndarray) and cell.dtype == object else None


def _is_text(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
