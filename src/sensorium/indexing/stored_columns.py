"""Which columns of a source an index stores, to filter by and to show, and as which Arrow type."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.columns.infer import written_numbers
from sensorium.data.columns.parse import SCALARS, is_missing, numbers, to_label
from sensorium.data.strings import is_compact
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.indexing.store import RESERVED

_DATES = datetime.date | datetime.time | np.datetime64
_LARGEST_INTEGER = 2**53  # up to which a float is an exact integer
_TYPE_NAMES = {pa.bool_(): "true or false", pa.int64(): "a whole number", pa.float64(): "a number"}


def infer_types(table: Table, without: str | None) -> tuple[dict[str, pa.DataType], list[str]]:
    """By column, the type that it is stored as: numbers, truth values, else text; and the columns that are not stored,
    whose values are pictures, arrays or lists. `without` is the key's column. Texts that are all numbers count as
    numbers, unless one has a leading zero. Dates are stored as text, 2026-11-22."""
    types = {}
    for name in table.frame.columns:
        if name != without:
            column = table.schema.column(name)
            types[name] = _infer_type(table.frame[name].to_numpy(), column.kind if column else None)
    left_out = [name for name, column_type in types.items() if column_type is None]
    return {name: column_type for name, column_type in types.items() if column_type is not None}, left_out


def _infer_type(values: np.ndarray, kind: str | None) -> pa.DataType | None:
    """The type of a column that the model's schema has as `kind`; None for values that cannot be filtered by."""
    present = values[~is_missing(values)]
    types = {present.dtype.type} if present.dtype != object else set(map(type, present))
    if not all(scalar in SCALARS or issubclass(scalar, np.number | np.bool_ | _DATES) for scalar in types):
        return None
    has_dates = any(issubclass(scalar, _DATES) for scalar in types)
    if not types or has_dates or kind not in (None, "number", "ignored", "target"):
        return pa.string()
    if types <= {bool, np.bool_}:
        return pa.bool_()
    parsed = written_numbers(present) if str in types else numbers(present)
    if np.isnan(parsed).any():
        return pa.string()
    integral = (parsed == np.round(parsed)).all() and (np.abs(parsed) <= _LARGEST_INTEGER).all()
    if str in types:
        integral = integral and not any("." in str(value) or "e" in str(value).lower() for value in present[:1000])
    elif present.dtype.kind == "f" or float in types:
        integral = False
    return pa.int64() if integral else pa.float64()


def safe_names(columns: list[str]) -> dict[str, str]:
    """By column, its name in the index: LanceDB allows no points in names, and a few names are reserved."""
    names: dict[str, str] = {}
    for column in columns:
        plain = column.replace(".", "_")
        unavailable = {*RESERVED, *names.values(), *(name for name in columns if name != column)}
        candidates = (plain, *(f"{plain} {number}" for number in range(2, len(unavailable) + 3)))
        names[column] = next(name for name in candidates if name not in unavailable)
    return names


def to_arrow(table: Table, name: str, column_type: pa.DataType) -> pa.Array:
    """The column `name` as `column_type`, null where absent. Raises UserError, with row and column, for a misfit."""
    if name not in table.frame.columns:
        return pa.nulls(len(table), column_type)
    values = table.frame[name]
    if column_type == pa.string() and is_compact(values):
        return pa.array([value or None for value in values], column_type)
    values = values.to_numpy()
    if column_type == pa.string():
        return pa.array([_to_text(table, row, name, value) for row, value in enumerate(values)], column_type)
    missing = is_missing(values)
    parsed = numbers(values)
    unreadable = np.isnan(parsed)
    if column_type == pa.int64():
        unreadable |= parsed != np.round(parsed)
    bad_rows = np.flatnonzero(unreadable & ~missing)
    if len(bad_rows):
        row = int(bad_rows[0])
        reason = f"{values[row]!r} is not {_TYPE_NAMES[column_type]}, which the index has in this column; mend it"
        raise table.mistake(row, name, reason)
    return pa.array(np.where(missing, 0, parsed).astype(column_type.to_pandas_dtype()), column_type, mask=missing)


def _to_text(table: Table, row: int, name: str, value: Any) -> str | None:
    if value is None or (pd.api.types.is_scalar(value) and (pd.isna(value) or value == "")):
        return None
    try:
        return to_label(value)
    except ValueError as error:
        raise table.mistake(row, name, f"{error}, and the index has text in this column; mend it") from None


def read_keys(table: Table, column: str | None) -> list[str]:
    """The cells of `column`, else the numbers of the rows. Raises UserError where a key is absent or stands twice."""
    if column is None:
        return table.rows.astype(str).tolist()
    keys = table.cells(column, "key")
    missing = np.flatnonzero(pd.isna(keys))
    if len(missing):
        raise table.mistake(int(missing[0]), column, "it names the records, and this one has no name; fill it in")
    repeated = np.flatnonzero(pd.Series(keys).duplicated())
    if len(repeated):
        raise UserError(
            f"Row {table.rows[repeated[0]]}, column '{column}' of {table.source}: the key '{keys[repeated[0]]}' stands"
            " twice, and each record needs one of its own; mend it, or name another column with --key."
        )
    return keys.tolist()
