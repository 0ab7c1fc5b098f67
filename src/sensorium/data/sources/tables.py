"""Files and Python values made one frame: every cell as the user wrote it, absent cells unchanged."""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from sensorium.data import strings
from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import SCALARS, objects
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources import folder as folders
from sensorium.data.sources import shards
from sensorium.data.sources.check_cells import UNREADABLE, check_cells, describe_unreadable
from sensorium.data.sources.delimited import check_names, check_utf8, first_sentence, read_delimited
from sensorium.data.sources.json_lines import parse_json_lines
from sensorium.errors import UserError

_COMPRESSED_SHARD = re.compile(r"\.(tgz|tar\.\w+)$")
_PUBLISHED_ENDINGS = (".json", ".token", ".txt")  # of files of published data sets
_MEDIA_FIELDS = {"bytes", "path"}  # of the structs in which Hugging Face Datasets stores media


class Source(NamedTuple):
    """A frame, the folder that its media paths start from, and its name in errors. `kinds`: by column, the kind that
    the source itself states. `shards`: how many tar files hold the records."""

    frame: pd.DataFrame
    root: Path
    name: str
    kinds: Mapping[str, Guess] = MappingProxyType({})
    shards: int = 0


def read_source(source: str | Path | pd.DataFrame | Iterable[dict]) -> Source:
    """The frame of a CSV, TSV, JSONL or Parquet file, of a folder or tar shards, of a pandas table or of dicts. CSV
    cells are strings, whatever they look like; the others keep their types. Raises UserError."""
    name = str(source) if isinstance(source, str | Path) else "the table"
    try:
        result = _read_path(Path(source), name) if isinstance(source, str | Path) else _read_objects(source, name)
        check_cells(result.frame, name)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}; mend that or copy the file.") from error
    except UNREADABLE as error:
        raise UserError(f"{name} holds {describe_unreadable(error)}; mend that.") from error
    pa.default_memory_pool().release_unused()  # Arrow would hold the memory that reading took beside the frame
    return result._replace(frame=_check_not_empty(result.frame, name))


def _read_path(path: Path, source: str) -> Source:
    return _read_pattern(source) or (_read_folder(path) if path.is_dir() else _read_file(path))


def _read_objects(source: pd.DataFrame | Iterable[dict], name: str) -> Source:
    """A pandas table, or dicts."""
    if not isinstance(source, pd.DataFrame):
        return Source(_from_records(list(source), name), Path.cwd(), name)
    check_names(list(source.columns), name)
    columns = {str(column): source[column] for column in source.columns}
    frame = pd.DataFrame({column: _plain(values) for column, values in columns.items()}, index=range(len(source)))
    return Source(frame, Path.cwd(), name)


def _read_pattern(source: str) -> Source | None:
    """The shards that a pattern names; None when it is no pattern."""
    paths = shards.find_shards(source)
    return None if paths is None else _read_shards(paths, source)


def _read_shards(paths: list[Path], name: str) -> Source:
    frame, root, count = shards.read_shards(paths)
    return Source(frame, root, name, {shards.KEY: Guess("key", "the record's name in its shard")}, count)


def _read_folder(path: Path) -> Source:
    """A folder of Datasets, of tar shards, or of files."""
    if arrow_folder.is_dataset_folder(path):
        frame, kinds = arrow_folder.read_dataset_folder(path)
        return Source(frame, path, str(path), kinds)
    entries = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    if entries and all(entry.suffix == ".tar" and entry.is_file() for entry in entries):
        return _read_shards(entries, str(path))
    tables = [entry.name for entry in entries if entry.suffix.lower() in READERS and entry.is_file()]
    if tables:
        raise UserError(f"{path} is a folder; give the table's file in it: {', '.join(tables[:5])}.")
    kinds = {
        folders.FILE: Guess("key", "the file's path"),
        folders.SPLIT: Guess("ignored", "the folder says which side of a split a row is on"),
    }
    return Source(folders.read_folder(path), path, str(path), kinds)


def _read_file(path: Path) -> Source:
    if path.suffix.lower() == ".tar" and path.exists():
        return _read_shards([path], str(path))
    return Source(_find_reader(path)(path), path.parent, str(path))


def _find_reader(path: Path) -> Callable[[Path], pd.DataFrame]:
    """The function that reads `path`, by its extension. Raises UserError when the file is not a table."""
    if not path.exists():
        tables = sorted(file.name for file in path.parent.glob("*") if file.suffix in READERS)[:5]
        hint = f"that folder has {', '.join(tables)}" if tables else "check the path"
        raise UserError(f"There is no file {path}; {hint}.")
    if _COMPRESSED_SHARD.search(path.name.lower()):
        raise UserError(
            f"{path} is a compressed shard, whose records cannot be read one by one; unpack it to .tar first."
        )
    if path.suffix.lower() in _PUBLISHED_ENDINGS:
        raise UserError(
            f"{path} is no table; if it is a data set's file (VQA, COCO, NLVR2, Flickr8k, ...), sensorium table makes a"
            f" table of it, else convert it to one of {', '.join(READERS)}."
        )
    if path.suffix.lower() not in READERS:
        raise UserError(
            f"{path} has the extension '{path.suffix}', which is not one of {', '.join(READERS)};"
            " convert the table to one of these."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; a table has a line of column names and at least one record.")
    return READERS[path.suffix.lower()]


def _read_jsonl(path: Path) -> pd.DataFrame:
    check_utf8(path)
    records = []
    with open(path, encoding="utf-8-sig") as file:
        for number, record in parse_json_lines(file, path):
            if not isinstance(record, dict):
                raise UserError(
                    f'Line {number} of {path} is not an object; each line looks like {{"column": value, ...}}.'
                )
            records.append(record)
    return _from_records(records, str(path))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        # ParquetFile reads the file alone: read_table would make a column of a folder called a=b.
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {first_sentence(error)}; write it again.") from error
    check_names(table.column_names, str(path))
    return pd.DataFrame({name: _plain(table[name]) for name in table.column_names}, index=range(table.num_rows))


READERS = {".csv": partial(read_delimited, delimiter=","), ".tsv": partial(read_delimited, delimiter="\t")}
READERS |= {".jsonl": _read_jsonl, ".parquet": _read_parquet}


def _from_records(records: list[Any], name: str) -> pd.DataFrame:
    invalid = next((row for row, record in enumerate(records, 1) if not isinstance(record, dict)), None)
    if invalid is not None:
        type_name = type(records[invalid - 1]).__name__
        raise UserError(f"Record {invalid} is a {type_name}; each record is a dict, {{'column': value, ...}}.")
    names = list(dict.fromkeys(name for record in records for name in record))
    check_names(names, name)
    columns = {str(name): _to_python(objects([record.get(name) for record in records])) for name in names}
    return pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in columns.items()}, index=range(len(records))
    )


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
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
        return pd.Series(values.to_numpy())
    return pd.Series(_to_python(np.asarray(values.astype(object))), dtype=object)


def _to_python(values: np.ndarray) -> np.ndarray:
    """The objects [N] with NumPy scalars, decimals and Path objects as plain Python values."""
    if set(map(type, values)) <= SCALARS:
        return values
    return objects([_to_python_cell(value) for value in values])


def _to_python_cell(value: Any) -> Any:
    if value is pd.NA:
        return None
    if isinstance(value, np.number | np.bool_ | np.str_):
        return value.item()
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, Path) else value


def _from_arrow(values: pa.ChunkedArray) -> np.ndarray:
    """The cells [N] as objects, None where they are null: an integer keeps all digits although others are null."""
    arrow_type = values.type
    if pa.types.is_dictionary(arrow_type):
        values = values.cast(arrow_type.value_type)
        arrow_type = values.type
    if pa.types.is_struct(arrow_type) and {field.name for field in arrow_type} == _MEDIA_FIELDS:
        return objects([cell and (cell["bytes"] or cell["path"]) for cell in values.to_pylist()])
    if arrow_type in (pa.binary(), pa.large_binary()):
        return values.to_numpy(zero_copy_only=False)
    return _to_python(objects(values.to_pylist()))


def _is_numeric(arrow_type: pa.DataType) -> bool:
    """Whether the values are numbers or booleans."""
    return pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type)


def _check_not_empty(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if not len(frame):
        raise UserError(f"{name} holds no records; a table needs at least one row under its column names.")
    return frame
