"""Files and Python values made one frame: every cell as the user wrote it, absent cells left as they are."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sensorium.data import strings
from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import SCALARS, objects
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources import folder as folders
from sensorium.data.sources import shards
from sensorium.errors import UserError

_COMPRESSED_SHARD = re.compile(r"\.(tgz|tar\.\w+)$")
_BLOCK = 1 << 26  # bytes: no record of a CSV file may be longer
_PUBLISHED = (
    ".json",
    ".token",
    ".txt",
)  # what files of published data sets end in
_MEDIA_FIELDS = {"bytes", "path"}  # of the structs that Hugging Face Datasets keeps media in


class Source(NamedTuple):
    """A frame, the folder that its media paths start from, and its name in errors.

    `kinds`: by column, what the source itself says it is. `shards`: how many tar files the records lie in.
    """

    frame: pd.DataFrame
    root: Path
    name: str
    kinds: Mapping[str, Guess] = MappingProxyType({})
    shards: int = 0


def load(source: str | Path | pd.DataFrame | Iterable[dict]) -> Source:
    """The frame of a CSV, TSV, JSONL or Parquet file, of a folder or tar shards, of a pandas table or of dicts.

    CSV cells are strings, whatever they look like; the others keep their types. Raises UserError.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            found = _several(str(source)) or (_folder(path) if path.is_dir() else _file(path))
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}; mend that or copy the file.") from error
        pa.default_memory_pool().release_unused()  # what reading took beside the frame, for long otherwise
        return found._replace(frame=_checked(found.frame, str(path)))
    name = "the table"
    if isinstance(source, pd.DataFrame):
        _check_names(list(source.columns), name)
        columns = {str(column): source[column] for column in source.columns}
        frame = pd.DataFrame({column: _plain(values) for column, values in columns.items()}, index=range(len(source)))
    else:
        frame = _from_records(list(source), name)
    return Source(_checked(frame, name), Path.cwd(), name)


def _several(source: str) -> Source | None:
    """The shards that a pattern names; None when it is no pattern."""
    paths = shards.find(source)
    return None if paths is None else _shards(paths, source)


def _shards(paths: list[Path], name: str) -> Source:
    frame, root, count = shards.index(paths)
    return Source(frame, root, name, {shards.KEY: Guess("key", "the record's name in its shard")}, count)


def _folder(path: Path) -> Source:
    """A folder of Datasets, of tar shards, or of files."""
    if arrow_folder.is_saved(path):
        frame, kinds = arrow_folder.read_saved(path)
        return Source(frame, path, str(path), kinds)
    files = [one for one in sorted(path.iterdir()) if not one.name.startswith(".")]
    if files and all(one.suffix == ".tar" and one.is_file() for one in files):
        return _shards(files, str(path))
    tables = [one.name for one in files if one.suffix.lower() in READERS and one.is_file()]
    if tables:
        raise UserError(f"{path} is a folder; give the table's file in it: {', '.join(tables[:5])}.")
    kinds = {
        folders.FILE: Guess("key", "the file's path"),
        folders.SPLIT: Guess("ignored", "the folder says which side of a split a row is on"),
    }
    return Source(folders.read_folder(path), path, str(path), kinds)


def _file(path: Path) -> Source:
    if path.suffix.lower() == ".tar" and path.exists():
        return _shards([path], str(path))
    return Source(_reader(path)(path), path.parent, str(path))


def _reader(path: Path) -> Any:
    """The function that reads `path`, by its extension."""
    if not path.exists():
        near = (
            sorted(other.name for other in path.parent.glob("*") if other.suffix in READERS)[:5]
            if path.parent.is_dir()
            else []
        )
        hint = f"that folder has {', '.join(near)}" if near else "check the path"
        raise UserError(f"There is no file {path}; {hint}.")
    if _COMPRESSED_SHARD.search(path.name.lower()):
        raise UserError(
            f"{path} is a compressed shard, whose records cannot be read one by one; unpack it to .tar first."
        )
    if path.suffix.lower() in _PUBLISHED:
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


def _delimited(path: Path, delimiter: str) -> pd.DataFrame:
    _check_utf8(path)
    header = _header(path, delimiter)
    wrong = []

    def keep_first(row: pyarrow.csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    try:
        table = pyarrow.csv.read_csv(
            path,
            # A single thread, for only then the handler is told the number of the row.
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep_first
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        _check_quotes(path, delimiter)
        if wrong:
            raise _misshapen(path, wrong[0]) from None
        raise UserError(f"{path} is not a table that can be read: {_sentence(error)}; save it as CSV again.") from error
    _check_quotes(path, delimiter)
    return pd.DataFrame({name: _plain(table[name]) for name in header}, index=range(table.num_rows))


def _header(path: Path, delimiter: str) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        header = next((row for row in csv.reader(file, delimiter=delimiter) if row), [])
    if len(header) == 1:
        other = next((mark for mark in (";", "\t", ",") if mark != delimiter and mark in header[0]), None)
        if other:
            raise UserError(
                f"The columns of {path} seem to be separated by {other!r}, not {delimiter!r};"
                f" save it with {delimiter!r} (a .csv has commas, a .tsv tabs)."
            )
    _check_names(header, str(path))
    return header


def _misshapen(path: Path, row: pyarrow.csv.InvalidRow) -> UserError:
    where = f"Row {row.number - 1} of {path}" if row.number else f"A row of {path}"
    return UserError(
        f"{where} has {row.actual_columns} {'field' if row.actual_columns == 1 else 'fields'} where the first line"
        f" names {row.expected_columns} columns: {row.text[:60]!r}; put a field that holds the separator or a line"
        " break in double quotes, and leave no separator out."
    )


def _check_quotes(path: Path, delimiter: str) -> None:
    """A quote that nobody closes swallows the rest of the file, in silence where that is one field of the last row."""
    with open(path, "rb") as file:
        quotes = sum(block.count(b'"') for block in iter(lambda: file.read(1 << 20), b""))
    if quotes % 2 == 0:
        return
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise UserError(
                    f"A double quote opened in the record at line {line} of {path} is never closed; close or double it."
                ) from None


def _csv(path: Path) -> pd.DataFrame:
    return _delimited(path, ",")


def _tsv(path: Path) -> pd.DataFrame:
    return _delimited(path, "\t")


def _jsonl(path: Path) -> pd.DataFrame:
    _check_utf8(path)
    records = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(
                    f"Line {number} of {path} is not JSON: {error.msg} at character {error.pos + 1}; mend that line."
                ) from None
            if not isinstance(record, dict):
                raise UserError(
                    f'Line {number} of {path} is not an object; each line looks like {{"column": value, ...}}.'
                )
            records.append(record)
    return _from_records(records, str(path))


def _parquet(path: Path) -> pd.DataFrame:
    try:
        # The file alone: a folder called a=b is no column.
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {_sentence(error)}; write it again.") from error
    _check_names(table.column_names, str(path))
    return pd.DataFrame({name: _plain(table[name]) for name in table.column_names}, index=range(table.num_rows))


READERS = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".parquet": _parquet}


def _from_records(records: list[Any], name: str) -> pd.DataFrame:
    wrong = next((row for row, record in enumerate(records, 1) if not isinstance(record, dict)), None)
    if wrong is not None:
        raise UserError(
            f"Record {wrong} is a {type(records[wrong - 1]).__name__}; each record is a dict, {{'column': value, ...}}."
        )
    names = list(dict.fromkeys(name for record in records for name in record))
    _check_names(names, name)
    columns = {str(name): _settled(objects([record.get(name) for record in records])) for name in names}
    return pd.DataFrame(
        {name: pd.Series(values, dtype=object) for name, values in columns.items()}, index=range(len(records))
    )


def _plain(values: pa.ChunkedArray | pd.Series) -> pd.Series:
    """A column as a plain NumPy type where nothing is lost by it, else as objects."""
    if isinstance(values, pa.ChunkedArray):
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return strings.series(values)
        plain = _is_plain(values.type) and not values.null_count
        return pd.Series(values.to_numpy() if plain else _from_arrow(values), dtype=None if plain else object)
    if strings.is_compact(values):
        return values.reset_index(drop=True)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
        return pd.Series(values.to_numpy())
    return pd.Series(_settled(np.asarray(values.astype(object))), dtype=object)


def _settled(values: np.ndarray) -> np.ndarray:
    """The objects [N] with NumPy scalars, decimals and Path objects as plain Python values."""
    if set(map(type, values)) <= SCALARS:
        return values
    return objects([_settled_cell(value) for value in values])


def _settled_cell(value: Any) -> Any:
    if value is pd.NA:
        return None
    if isinstance(value, np.number | np.bool_ | np.str_):
        return value.item()
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, Path) else value


def _from_arrow(values: pa.ChunkedArray) -> np.ndarray:
    """The cells [N] as objects, None where they are null: an integer keeps its digits, whatever else is null."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    if pa.types.is_struct(kind) and {field.name for field in kind} == _MEDIA_FIELDS:
        return objects([cell and (cell["bytes"] or cell["path"]) for cell in values.to_pylist()])
    if kind in (pa.binary(), pa.large_binary()):
        return values.to_numpy(zero_copy_only=False)
    return _settled(objects(values.to_pylist()))


def _is_plain(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if not len(frame):
        raise UserError(f"{name} holds no records; a table needs at least one row under its column names.")
    return frame


def _check_names(names: list[Any], source: str) -> None:
    twice = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if twice:
        raise UserError(f"{source} has more than one column named '{twice[0]}'; rename or delete all but one.")


def _check_utf8(path: Path) -> None:
    """Raises UserError naming the first line that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    with open(path, "rb") as file:
        while True:
            block = file.read(1 << 20)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                raise UserError(f"Line {line} of {path} is not UTF-8 text; save the file as UTF-8.") from None
            lines += block.count(b"\n")
            if not block:
                return


def _sentence(error: Exception) -> str:
    """The first sentence of what a library says."""
    return str(error).splitlines()[0].split(". ")[0].rstrip(".")
