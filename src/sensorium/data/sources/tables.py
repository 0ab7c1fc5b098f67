"""Files and Python values made one frame: every cell as the user wrote it, absent cells unchanged."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from sensorium.data.columns.infer import Guess
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources import folder as folders
from sensorium.data.sources import shards
from sensorium.data.sources.check_cells import UNREADABLE, check_cells, describe_unreadable
from sensorium.data.sources.delimited import read_delimited
from sensorium.data.sources.excel import read_workbook, split_sheet
from sensorium.data.sources.in_memory import Cells, cells_of, from_arrow
from sensorium.data.sources.json_tables import read_json, read_json_lines
from sensorium.data.sources.text_files import COMPRESSED, ending_of, first_sentence
from sensorium.errors import UserError

_COMPRESSED_SHARD = re.compile(r"\.(tgz|tar\.\w+)$")
_PUBLISHED_ENDINGS = (".token", ".txt")  # of files of published data sets
_TEXT_ENDINGS = (".csv", ".tsv", ".jsonl", ".json")  # of tables that may be compressed
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of Hugging Face's folders of media


class Source(NamedTuple):
    """A frame, the folder that its media paths start from, and its name in errors. `kinds`: by column, the kind that
    the source itself states. `shards`: how many tar files hold the records. `notices`: sentences on what was noticed
    in reading, such as an unusual separator."""

    frame: pd.DataFrame
    root: Path
    name: str
    kinds: Mapping[str, Guess] = MappingProxyType({})
    shards: int = 0
    notices: tuple[str, ...] = ()


def read_source(source: str | Path | pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]] | Any) -> Source:
    """The frame of a table's file, of a folder or tar shards, of a pandas, Arrow or polars table, of dicts or of a dict
    of columns. CSV cells are strings, whatever they look like; the others keep their types. Raises UserError."""
    name = str(source) if isinstance(source, str | Path) else "the table"
    try:
        result = _read_path(Path(source), name) if isinstance(source, str | Path) else _read_objects(source, name)
        check_cells(result.frame, name)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}; mend that or copy the file.") from error
    except UNREADABLE as error:
        raise UserError(f"{name} holds {describe_unreadable(error)}; mend that.") from error
    pa.default_memory_pool().release_unused()  # Arrow would hold the memory that reading took beside the frame
    if not len(result.frame):
        raise UserError(f"{result.name} holds no records; a table needs at least one row under its column names.")
    return result


def _read_path(path: Path, source: str) -> Source:
    return _read_pattern(source) or (_read_folder(path) if path.is_dir() else _read_file(path))


def _read_objects(source: Any, name: str) -> Source:
    cells = cells_of(source, name)
    return Source(cells.frame, Path.cwd(), name, cells.kinds)


def _read_pattern(source: str) -> Source | None:
    """The shards that a pattern names; None when it is no pattern."""
    paths = shards.find_shards(source)
    return None if paths is None else _read_shards(paths, source)


def _read_shards(paths: list[Path], name: str, notices: tuple[str, ...] = ()) -> Source:
    frame, root, count = shards.read_shards(paths)
    return Source(frame, root, name, {shards.KEY: Guess("key", "the record's name in its shard")}, count, notices)


def _read_folder(path: Path) -> Source:
    """A folder of Datasets, of tar shards, of media with a table of metadata, or of files."""
    if arrow_folder.is_dataset_folder(path):
        frame, kinds = arrow_folder.read_dataset_folder(path)
        return Source(frame, path, str(path), kinds)
    entries = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.is_file()]
    tars = [entry for entry in files if entry.suffix == ".tar"]
    if tars:
        return _read_shard_folder(path, tars, [entry for entry in entries if entry not in tars])
    # JSON is as often a description of the folder as a table.
    tables = [entry for entry in files if is_table(entry) and ending_of(entry) != ".json"]
    if len(tables) == 1 and tables[0].name in _METADATA:
        return _read_file(tables[0])
    if tables:
        names = ", ".join(table.name for table in tables[:5])
        raise UserError(f"{path} is a folder; give the table's file in it: {names}.")
    kinds = {
        folders.FILE: Guess("key", "the file's path"),
        folders.SPLIT: Guess("ignored", "the folder says which side of a split a row is on"),
    }
    frame, notices = folders.read_folder(path)
    return Source(frame, path, str(path), kinds, notices=notices)


def _read_shard_folder(path: Path, tars: list[Path], beside: list[Path]) -> Source:
    """The shards of a folder. Files that describe it or a shard, as img2dataset writes them, are left out; raises
    UserError for tables and folders of another name."""
    stems = tuple(tar.stem for tar in tars)
    unclear = [entry.name for entry in beside if entry.is_dir() or is_table(entry)]
    unclear = [name for name in unclear if not name.startswith(("_", *stems)) and not name.endswith(".json")]
    if unclear:
        raise UserError(
            f"{path} holds shards and beside them {', '.join(unclear[:5])}; give the shards as '{path / '*.tar'}',"
            " in quotes, or a table by its file."
        )
    names = ", ".join(entry.name for entry in beside[:3])
    notices = (f"Files beside the {len(tars)} shards of {path} are left out: {len(beside)} such as {names}.",)
    return _read_shards(tars, str(path), notices if beside else ())


def _read_file(path: Path) -> Source:
    if path.suffix.lower() == ".tar" and path.exists():
        return _read_shards([path], str(path))
    cells = _find_reader(split_sheet(path)[0])(path)
    return Source(cells.frame, path.parent, str(path), cells.kinds, notices=cells.notices)


def is_table(path: Path) -> bool:
    """Whether a file's ending is that of a table."""
    return _reader_of(path) is not None


def _reader_of(path: Path) -> Callable[[Path], Cells] | None:
    """The function that reads files of the ending of `path`, or None."""
    ending = ending_of(split_sheet(path)[0])
    plain = ending.removesuffix(path.suffix.lower()) if path.suffix.lower() in COMPRESSED else ending
    return READERS.get(plain) if plain == ending or plain in _TEXT_ENDINGS else None


def _find_reader(path: Path) -> Callable[[Path], Cells]:
    """The function that reads `path`, by its extension. Raises UserError when the file is not a table."""
    if not path.exists():
        tables = sorted(file.name for file in path.parent.glob("*") if is_table(file))[:5]
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
    reader = _reader_of(path)
    if reader is None:
        raise UserError(
            f"{path} has the extension '{path.suffix}', which is not one of {', '.join(READERS)};"
            " convert the table to one of these."
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; a table has a line of column names and at least one record.")
    return reader


def _read_parquet(path: Path) -> Cells:
    try:
        # ParquetFile reads the file alone: read_table would make a column of a folder called a=b.
        file = pyarrow.parquet.ParquetFile(path)
        table = _restore_dictionaries(file.read(), file.metadata.metadata or {})
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {first_sentence(error)}; write it again.") from error
    return from_arrow(table, str(path))


def _restore_dictionaries(table: pa.Table, metadata: Mapping[bytes, bytes]) -> pa.Table:
    """The table with the dictionaries that it was written with: Parquet itself keeps those of strings only."""
    if b"ARROW:schema" in metadata:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(metadata[b"ARROW:schema"])))
        for index, field in enumerate(schema):
            if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(table[index].type):
                table = table.set_column(index, field.name, table[index].dictionary_encode())
    return table


def _read_arrow(path: Path) -> Cells:
    """The records of a file of Arrow's, with an index at its end (Feather) or without (a stream)."""
    try:
        with pa.OSFile(str(path)) as file:
            is_indexed = file.read(6) == b"ARROW1"
            file.seek(0)
            table = (pa.ipc.open_file if is_indexed else pa.ipc.open_stream)(file).read_all()
    except pa.ArrowException as error:
        raise UserError(f"{path} cannot be read as Arrow: {first_sentence(error)}; write it again.") from error
    return from_arrow(table, str(path))


READERS: dict[str, Callable[[Path], Cells]] = {
    ".csv": partial(read_delimited, usual=","),
    ".tsv": partial(read_delimited, usual="\t"),
    ".jsonl": read_json_lines,
    ".parquet": _read_parquet,
    ".json": read_json,
    ".xlsx": read_workbook,
    ".feather": _read_arrow,
    ".arrow": _read_arrow,
}
