"""Numbers and categories: the columns of one record that one input reads."""

import math
from numbers import Real
from pathlib import Path
from typing import Any


def decode(value: dict[str, Any], root: Path) -> dict[str, float | str | None]:
    """`value`, by column a number, a category or None, with numbers as float and not-a-number as None. `root` is not
    used. Raises ValueError for an infinite number or a value that is neither a number nor text."""
    return {column: _decode_cell(column, cell) for column, cell in value.items()}


def _decode_cell(column: str, value: Any) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, Real):
        raise ValueError(f"'{column}' is neither a number nor text but {type(value).__name__}")
    value = float(value)
    if math.isinf(value):
        raise ValueError(f"'{column}' is infinite")
    return None if math.isnan(value) else value
