"""Which columns of a source an index keeps, to filter by and to show, and as what."""

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
from sensorium.indexing.store import OWN

_DATES = datetime.date | datetime.time | np.datetime64
_WHOLE = 2**53  # up to which a float is an exact whole number


def kinds(table: Table, without: str | None) -> tuple[dict[str, pa.DataType], list[str]]:
    """By column, what it is kept as: numbers, truth values, else text; and the columns that are not kept, whose values
    are pictures, arrays or lists. `without` is the key's column.

    Texts that are all numbers count as numbers, unless one has a leading zero. Dates are kept as text, 2026-11-22.
    """
    kept, left_out = {}, []
    for name in table.frame.columns:
        if name == without:
            continue
        column = table.schema.column(name)
        kind = _kind(table.frame[name].to_numpy(), column.kind if column else None)
        if kind is None:
            left_out.append(name)
        else:
            kept[name] = kind
    return kept, left_out


def _kind(values: np.ndarray, said: str | None) -> pa.DataType | None:
    present = values[~is_missing(values)]
    types = {present.dtype.type} if present.dtype != object else set(map(type, present))
    if not all(kind in SCALARS or issubclass(kind, np.number | np.bool_ | _DATES) for kind in types):
        return None
    dated = any(issubclass(kind, _DATES) for kind in types)
    if not types or dated or said not in (None, "number", "ignored", "target"):
        return pa.string()
    if types <= {bool, np.bool_}:
        return pa.bool_()
    parsed = written_numbers(present) if str in types else numbers(present)
    if np.isnan(parsed).any():
        return pa.string()
    whole = (parsed == np.round(parsed)).all() and (np.abs(parsed) <= _WHOLE).all()
    if str in types:
        whole = whole and not any("." in str(value) or "e" in str(value).lower() for value in present[:1000])
    elif present.dtype.kind == "f" or float in types:
        whole = False
    return pa.int64() if whole else pa.float64()


def safe_names(columns: list[str]) -> dict[str, str]:
    """By column, its name in the index: LanceDB takes no points in names, and a few names are the index's own."""
    named: dict[str, str] = {}
    for column in columns:
        plain = column.replace(".", "_")
        taken = {*OWN, *named.values(), *(other for other in columns if other != column)}
        named[column] = next(
            name for name in (plain, *(f"{plain} {number}" for number in range(2, len(taken) + 3))) if name not in taken
        )
    return named


def cells(table: Table, name: str, kind: pa.DataType) -> pa.Array:
    """The column `name` as `kind`, null where it is absent or the table lacks it.

    Raises UserError, with row and column, for a cell of another kind.
    """
    if name not in table.frame.columns:
        return pa.nulls(len(table), kind)
    values = table.frame[name]
    if kind == pa.string() and is_compact(values):
        return pa.array([value or None for value in values], kind)
    values = values.to_numpy()
    if kind == pa.string():
        return pa.array([_text(table, row, name, value) for row, value in enumerate(values)], kind)
    gone = is_missing(values)
    parsed = numbers(values)
    wrong = np.flatnonzero(np.isnan(parsed) & ~gone)
    if kind == pa.int64():
        wrong = np.union1d(wrong, np.flatnonzero(~gone & (parsed != np.round(parsed))))
    if len(wrong):
        what = {pa.bool_(): "true or false", pa.int64(): "a whole number"}.get(kind, "a number")
        raise table.mistake(
            int(wrong[0]), name, f"{values[wrong[0]]!r} is not {what}, which the index has in this column; mend it"
        )
    return pa.array(np.where(gone, 0, parsed).astype(kind.to_pandas_dtype()), kind, mask=gone)


def _text(table: Table, row: int, name: str, value: Any) -> str | None:
    if value is None or (pd.api.types.is_scalar(value) and (pd.isna(value) or value == "")):
        return None
    try:
        return to_label(value)
    except ValueError as error:
        raise table.mistake(row, name, f"{error}, and the index has text in this column; mend it") from None


def keys(table: Table, column: str | None) -> list[str]:
    """What names each record: the cells of `column`, else the numbers of the rows.

    Raises UserError where one is absent or stands twice.
    """
    if column is None:
        return table.rows.astype(str).tolist()
    found = table.cells(column, "key")
    gone = np.flatnonzero(pd.isna(found))
    if len(gone):
        raise table.mistake(int(gone[0]), column, "it names the records, and this one has no name; fill it in")
    again = np.flatnonzero(pd.Series(found).duplicated())
    if len(again):
        raise UserError(
            f"Row {table.rows[again[0]]}, column '{column}' of {table.source}: the key '{found[again[0]]}' stands"
            " twice, and each record needs one of its own; mend it, or name another column with --key."
        )
    return found.tolist()
