"""The LanceDB table of an index: created, opened, written in whole commits, with metadata that describes it."""

import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError

from sensorium.errors import UserError, needs, unknown
from sensorium.files import discard, writing

KEY, VECTOR = "key", "vector"
RESERVED = (KEY, VECTOR, "_distance", "_rowid", "_rowaddr", "_score", "_relevance_score")  # names no column may have
METRIC = "cosine"  # by "dot", k-means would favour long centroids, and partitions come out uneven

# Below so many rows all vectors are compared: at 512 dimensions that reads 200 MB at most, some tens of milliseconds.
EXACT = 100_000

_ENTRY = "sensorium"  # our entry in the metadata of the table and of its column of vectors
_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # LanceDB's rule
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`")  # in a filter
_LANCE_FOLDERS = {"data", "_versions", "_transactions", "_indices", "_deletions"}
_READ_ROWS = 8192
_INDEX_CACHE, _METADATA_CACHE = 2**29, 2**26  # bytes; what has no room in them is read from the disk's own cache


class Facts(BaseModel, frozen=True, extra="forbid"):
    """What an index was made of, written when it is made.

    dim: of a vector. fingerprint: of the model; None for vectors that came without one. run: the model's folder.
    input: which input was embedded. source: what of. key: the column that names a record, "" when the files' paths do
    and None when rows are counted. exact_below: with fewer rows than this, all vectors are compared."""

    format: int = 1
    dim: int
    fingerprint: str | None = None
    run: str | None = None
    input: str | None = None
    source: str | None = None
    key: str | None = None
    exact_below: int = EXACT


class IndexConfig(BaseModel, frozen=True):
    """How a query goes through the vector index. The defaults are LanceDB's own.

    kind: "IVF_FLAT"; from an earlier release also "IVF_PQ". probes: partitions that a query looks into. refine: how
    many times more candidates than asked for are scored again with full vectors; 0 for none. partitions: how many,
    where an earlier release set the number. Its other fields are ignored."""

    kind: str = "IVF_FLAT"
    probes: int = 20
    refine: int = 0
    partitions: int | None = None


class State(BaseModel, frozen=True, populate_by_name=True):
    """Whether all records are in the table, and its vector index; without one every search is exact.

    The metadata names the index "tuned", as earlier releases did, whose other fields are ignored."""

    finished: bool = False
    vector_index: IndexConfig | None = Field(None, alias="tuned")


class Store:
    """The table at `path` (a folder, NAME.lance): `key`, `vector` (float32 [dim], unit length), further columns. Every
    write is one commit: a killed writer leaves what it had committed."""

    def __init__(self, path: Path, table: Any):
        self.path, self.table = path, table
        self._read_metadata()

    def _read_metadata(self) -> None:
        self.schema: pa.Schema = self.table.schema
        vector_metadata = self.schema.field(VECTOR).metadata or {}
        self.facts = Facts(**json.loads(self.schema.metadata[_ENTRY.encode()]))
        self.state = State(**json.loads(vector_metadata.get(_ENTRY.encode(), b"{}")))

    @classmethod
    def create(cls, path: Path, columns: dict[str, pa.DataType], facts: Facts, overwrite: bool = False) -> "Store":
        """An empty table with the further `columns`. Raises UserError when `path` exists or cannot be written."""
        lancedb = _import_lancedb()
        name = _table_name(path)
        if overwrite or _is_leftover(path):
            _check_replaceable(path)
            discard(path)
        if path.exists():
            raise UserError(f"{path} is there already; --add adds to it, --overwrite replaces it.")
        fields = [pa.field(KEY, pa.string(), nullable=False), pa.field(VECTOR, pa.list_(pa.float32(), facts.dim))]
        fields += [pa.field(column, column_type) for column, column_type in columns.items()]
        schema = pa.schema(fields, metadata={_ENTRY: facts.model_dump_json()})
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with _disk_errors(path):
            return cls(path, _connect(lancedb, path).create_table(name, schema=schema))

    @classmethod
    def open(cls, path: Path) -> "Store":
        """The table at `path`. Raises UserError when there is none, or `sensorium index` did not make it."""
        lancedb = _import_lancedb()
        if not path.exists():
            raise UserError(f"There is no index {path}; make one: sensorium index RUN SOURCE --out {path}.")
        foreign = UserError(f"{path} is not an index that 'sensorium index' made; give the folder that --out named.")
        if not path.is_dir() or not _has_commit(path):
            raise foreign
        try:
            return cls(path, _connect(lancedb, path).open_table(_table_name(path)))
        except (KeyError, TypeError, ValidationError, json.JSONDecodeError):
            raise foreign from None
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(
                f"{path} cannot be opened ({_first_line(error)}); bring a whole copy, or index again."
            ) from error

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The further columns, by name."""
        return {field.name: field.type for field in self.schema if field.name not in (KEY, VECTOR)}

    def __len__(self) -> int:
        return self.table.count_rows()

    def count(self, where: str | None) -> int:
        """How many records pass the filter. Raises UserError for a filter that is not understood to its end."""
        if where is not None:
            _check_single(where)
        try:
            count = self.table.count_rows(where)
            # LanceDB reads the first condition and drops what follows it, unless a bracket is open.
            return count if where is None else self.table.count_rows(f"({where})")
        except (ValueError, RuntimeError) as error:
            raise self._filter_error(where, error) from error

    def _filter_error(self, where: str | None, error: Exception) -> UserError:
        column = re.search(r"No field named \W*([^\s`\"']+?)\W*(?:\.\s|\.?$)", str(error))
        if column:
            return UserError(f"The filter {where!r}: {unknown('column', column[1], [KEY, *self.columns])}")
        reason = re.sub(
            r"^.*Invalid user input: |^.*sql parser error: |^Invalid input, |, /\S+:\d+.*$", "", _first_line(error)
        )
        return UserError(
            f"The filter {where!r} is not understood: {reason.rstrip('.)')};"
            " write it as \"price < 50 AND colour = 'red'\", a name with a space in backquotes."
        )

    def add(self, rows: pa.Table) -> None:
        """Appends rows, in one commit."""
        with _disk_errors(self.path):
            self.table.add(rows)

    def replace(self, rows: pa.Table) -> None:
        """Adds rows, each in the place of the row with its key, if there is one; in one commit."""
        with _disk_errors(self.path):
            self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, where: str) -> int:
        """Removes the rows that pass the filter; returns how many. Raises UserError for a filter that is no filter."""
        count = self.count(where)
        with _disk_errors(self.path):
            if count:
                self.table.delete(where)
        return count

    def write_state(self, **changes: Any) -> None:
        """Writes a changed state into the metadata, in one commit."""
        state = self.state.model_copy(update=changes).model_dump_json(by_alias=True)
        with _disk_errors(self.path):
            self.table.update_field_metadata({"path": VECTOR, "metadata": {_ENTRY: state}})
        self._read_metadata()

    def keys(self) -> set[str]:
        """The keys of all rows."""
        batches = self.table.search().select([KEY]).to_batches(_READ_ROWS)
        return {key for batch in batches for key in batch.column(KEY).to_pylist()}

    def create_index(self) -> None:
        """Makes the vector index, in the place of an older one: IVF_FLAT as LanceDB makes it by default."""
        from lancedb.index import IvfFlat

        with _disk_errors(self.path):
            self.table.create_index(VECTOR, config=IvfFlat(distance_type=METRIC), replace=True)

    def optimize(self, exclusive: bool = False) -> None:
        """Joins small files, brings new rows into the vector index and drops versions older than a day; `exclusive`,
        when nobody else has the table open, all versions but the newest."""
        with _disk_errors(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no other process may be reading: `exclusive` says so
            self.table.optimize(cleanup_older_than=timedelta(0 if exclusive else 1), delete_unverified=exclusive)


def _check_single(where: str) -> None:
    """Raises UserError for a filter that has, outside quotes, a semicolon, a comment or a bracket without its pair."""
    plain = _QUOTED.sub("''", where)
    sign = re.search(r";|--|/\*", plain)
    if sign:
        raise UserError(
            f"The filter {where!r} has {sign[0]!r}, and what follows would be left out; write one condition, joined"
            " with AND and OR, without comments."
        )
    depths = list(accumulate({"(": 1, ")": -1}.get(letter, 0) for letter in plain))
    if min(depths, default=0) < 0:
        raise UserError(f"The filter {where!r} closes a bracket that it does not open; leave it out, or open it.")


def key_filter(keys: Iterable[str]) -> str:
    """The filter that passes the records with these keys."""
    literals = ("'{}'".format(key.replace("'", "''")) for key in keys)
    return f"{KEY} IN ({', '.join(literals)})"


def _import_lancedb() -> Any:
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings are about empty partitions, which are no fault
    try:
        import lancedb
    except ImportError:
        raise needs("lancedb", "search") from None
    return lancedb


def _connect(lancedb: Any, path: Path) -> Any:
    """The parent folder of `path` as LanceDB's database, with bounds on its caches in memory (else 6 GiB)."""
    session = lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
    return lancedb.connect(str(path.parent), session=session)


def _table_name(path: Path) -> str:
    if path.suffix != ".lance" or not _NAME.fullmatch(path.stem) or not path.stem.strip("."):
        raise UserError(f"{path} does not name an index: its name is letters, digits, _ and -, and ends in .lance.")
    return path.stem


def _has_commit(path: Path) -> bool:
    return (path / "_versions").is_dir() and any((path / "_versions").iterdir())


def _is_leftover(path: Path) -> bool:
    """Whether a killed writer created `path` and did not reach its first commit."""
    return path.is_dir() and not _has_commit(path) and {entry.name for entry in path.iterdir()} <= _LANCE_FOLDERS


def _check_replaceable(path: Path) -> None:
    """Raises UserError unless `path` may be replaced: an index, or what is left of one."""
    if path.exists() and not _is_leftover(path):
        Store.open(path)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turns an error of the disk while writing `path` into a sentence."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        cause = re.search(r"No space left on device|Permission denied|Read-only file system|File too large", str(error))
        if cause is None:
            raise
        raise UserError(f"Cannot write {path}: {cause[0]}; make room or choose another place.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
