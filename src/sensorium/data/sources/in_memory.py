"""Python values made one frame: pandas and Arrow tables, dicts, columns; cells as the user wrote them."""

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data import strings
from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import SCALARS, is_missing, objects
from sensorium.errors import UserError

_MEDIA_FIELDS = {"bytes", "path"}  # of the structs in which Hugging Face Datasets stores media
_CATEGORICAL = Guess("category", "the table declares it categorical")


class Cells(NamedTuple):
    """What a table holds: its frame; by column, the kind that the table itself states; what was noticed in reading."""

    frame: pd.DataFrame
    kinds: Mapping[str, Guess] = MappingProxyType({})
    notices: tuple[str, ...] = ()


def cells_of(table: Any, name: str) -> Cells:
    """The cells of a pandas table, of any table with the Arrow interface (`__arrow_c_stream__`: Arrow, polars), of a
    dict of columns, or of dicts. Raises UserError for anything else."""
    if isinstance(table, pd.DataFrame):
        return _from_pandas(table, name)
    if hasattr(table, "__arrow_c_stream__"):
        try:
            return from_arrow(pa.table(table), name)
        except pa.ArrowInvalid as error:
            raise UserError(f"A {type(table).__name__} is no table; give one with a name for each column.") from error
    if isinstance(table, Mapping):
        return from_columns(table, name)
    if not isinstance(table, Iterable):
        raise UserError(
            f"A {type(table).__name__} is no table; give a file, a pandas or Arrow table, dicts, or a dict of columns."
        )
    return from_records(list(table), name)


def _from_pandas(table: pd.DataFrame, name: str) -> Cells:
    if table.columns.nlevels > 1:
        raise UserError(
            f"{name} has names of {table.columns.nlevels} levels for its columns; join them, as with"
            " table.columns = ['_'.join(map(str, names)) for names in table.columns]."
        )
    check_names(list(table.columns), name)
    columns = {str(column): table[column] for column in table.columns}
    kinds = {column: _CATEGORICAL for column, values in columns.items() if _is_categorical(values)}
    frame = pd.DataFrame({column: _plain(values) for column, values in columns.items()}, index=range(len(table)))
    return Cells(frame, kinds)


def from_arrow(table: pa.Table, name: str) -> Cells:
    """The cells of an Arrow table. Raises UserError when two columns have one name."""
    check_names(table.column_names, name)
    kinds = {
        column: _CATEGORICAL
        for column in table.column_names
        if pa.types.is_dictionary(table[column].type) and _is_repeated(table[column].to_pandas())
    }
    columns = {column: _plain(table[column]) for column in table.column_names}
    return Cells(pd.DataFrame(columns, index=range(table.num_rows)), kinds)


def from_columns(columns: Mapping[Any, Any], name: str) -> Cells:
    """The cells of a dict of columns, each a sequence of one length. Raises UserError."""
    check_names(list(columns), name)
    series = {}
    for column, values in columns.items():
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
            raise UserError(
                f"A dict is read as columns, and '{column}' is a {type(values).__name__}, not a list of cells; put a"
                " single record in a list, [{'column': value, ...}]."
            )
        plain = isinstance(values, pd.Series) or (isinstance(values, np.ndarray) and values.ndim == 1)
        series[str(column)] = pd.Series(values if plain else objects(list(values))).reset_index(drop=True)
    lengths = {column: len(values) for column, values in series.items()}
    if len(set(lengths.values())) > 1:
        (first, length), (second, length_2) = list({size: (name, size) for name, size in lengths.items()}.values())[:2]
        raise UserError(
            f"The columns of {name} have different lengths: '{first}' has {length} cells and '{second}' {length_2}."
        )
    return _from_pandas(pd.DataFrame(series), name)


def from_records(records: list[Any], name: str) -> Cells:
    """The cells of dicts, absent where a dict lacks a column. Raises UserError."""
    invalid = next((row for row, record in enumerate(records, 1) if not isinstance(record, Mapping)), None)
    if invalid is not None:
        type_name = type(records[invalid - 1]).__name__
        raise UserError(f"Record {invalid} is a {type_name}; each record is a dict, {{'column': value, ...}}.")
    names = list(dict.fromkeys(name for record in records for name in record))
    check_names(names, name)
    columns = {str(name): _to_python(objects([record.get(name) for record in records])) for name in names}
    series = {name: pd.Series(values, dtype=object) for name, values in columns.items()}
    return Cells(pd.DataFrame(series, index=range(len(records))))


def check_names(names: list[Any], source: str) -> None:
    """Raises UserError when two columns of `source` have one name."""
    repeated = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if repeated:
        raise UserError(f"{source} has more than one column named '{repeated[0]}'; rename or delete all but one.")


def drop_unnamed(columns: Iterable[tuple[str, pd.Series]], source: str) -> dict[str, pd.Series]:
    """Columns of a file by name; those without a name and without values are left out. Raises UserError when more than
    one column of values has no name, or two have one name."""
    numbered = enumerate(columns, 1)
    present = [(number, *pair) for number, pair in numbered if pair[0] or not is_missing(pair[1].to_numpy()).all()]
    unnamed = [number for number, name, _ in present if not name]
    if len(unnamed) > 1:
        raise UserError(
            f"Columns {unnamed[0]} and {unnamed[1]} of {source} have values and no name; the first line names each"
            " column, so name them there, and delete lines above it."
        )
    check_names([name for _, name, _ in present], source)
    return {name: values for _, name, values in present}


def _is_categorical(values: pd.Series) -> bool:
    """Whether the type of a column says that it holds categories, and they recur."""
    dtype = values.dtype
    is_dictionary = isinstance(dtype, pd.ArrowDtype) and pa.types.is_dictionary(dtype.pyarrow_dtype)
    return (is_dictionary or isinstance(dtype, pd.CategoricalDtype)) and _is_repeated(values)


def _is_repeated(values: pd.Series) -> bool:
    """Whether the values are of several kinds and recur: a column of texts or paths that is stored as a dictionary is
    no category."""
    return 1 < values.nunique() <= values.count() / 2


def _plain(values: pa.ChunkedArray | pd.Series) -> pd.Series:
    """A column as a plain NumPy type where nothing is lost by it, else as objects."""
    if isinstance(values, pa.ChunkedArray):
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return strings.to_series(values)
        if _is_numeric(values.type) and not values.null_count:
            return pd.Series(values.to_numpy())
        return pd.Series(_from_arrow(values), dtype=object)
    if strings.is_compact(values):
        return values.reset_index(drop=True)
    if isinstance(values.dtype, pd.ArrowDtype):
        array = values.array.__arrow_array__()
        return _plain(array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array]))
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
        return pd.Series(values.to_numpy())
    return pd.Series(_to_python(np.asarray(values.astype(object))), dtype=object)


def _to_python(values: np.ndarray) -> np.ndarray:
    """The objects [N] with NumPy scalars, decimals, durations and Path objects as plain Python values."""
    if set(map(type, values)) <= SCALARS:
        return values
    return objects([_to_python_cell(value) for value in values])


def _to_python_cell(value: Any) -> Any:
    """Durations become seconds, periods their start; a value that pandas calls absent becomes None."""
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        return _to_python_cell(pd.Timestamp(value) if isinstance(value, np.datetime64) else pd.Timedelta(value))
    if isinstance(value, np.number | np.bool_ | np.str_):
        return value.item()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, pd.Period):
        return value.to_timestamp()
    return str(value) if isinstance(value, Path | UUID | datetime.time | pd.Interval) else value


def _from_arrow(values: pa.ChunkedArray) -> np.ndarray:
    """The cells [N] as objects, None where they are null: an integer keeps all digits although others are null."""
    arrow_type = values.type
    if pa.types.is_struct(arrow_type) and {field.name for field in arrow_type} == _MEDIA_FIELDS:
        return objects([cell and (cell["bytes"] or cell["path"]) for cell in values.to_pylist()])
    if arrow_type in (pa.binary(), pa.large_binary()):
        return values.to_numpy(zero_copy_only=False)
    return _to_python(objects(values.to_pylist()))


def _is_numeric(arrow_type: pa.DataType) -> bool:
    """Whether the values are numbers or booleans."""
    return pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type)
