"""The LanceDB table of an index: made, opened, written in whole commits, and what it knows about itself."""

import json
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from sensorium.errors import UserError, needs, unknown
from sensorium.files import discard

KEY, VECTOR = "key", "vector"
OWN = (KEY, VECTOR, "_distance", "_rowid", "_rowaddr", "_score", "_relevance_score")  # names that no column may have
METRIC = "cosine"  # by "dot", k-means would favour long centroids, and partitions come out uneven

# Below so many rows all vectors are compared: at 512 dimensions that reads 200 MB at most, some tens of milliseconds.
EXACT = 100_000

_ENTRY = "sensorium"  # where the metadata of the table and of its vectors hold what is ours
_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # LanceDB's rule
_LANCE = {"data", "_versions", "_transactions", "_indices", "_deletions"}
_READ = 8192  # rows that are read at a time
_INDEX_CACHE, _METADATA_CACHE = 2**29, 2**26  # bytes; what has no room in them is read from the disk's own cache


class Facts(BaseModel):
    """What an index was made of, written when it is made.

    dim: of a vector. fingerprint: of the model; None for vectors that came without one. run: the model's folder.
    input: which input was embedded. source: what of. key: the column that names a record, "" when the files' paths do
    and None when rows are counted. exact_below: so many rows, all vectors are compared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    dim: int
    fingerprint: str | None = None
    run: str | None = None
    input: str | None = None
    source: str | None = None
    key: str | None = None
    exact_below: int = EXACT


class Tuned(BaseModel):
    """A vector index, and how it is searched.

    kind: "IVF_FLAT" or "IVF_PQ". rows: how many there were. probes: partitions that a query looks into.
    refine: how many times more candidates than asked for are scored anew with whole vectors; 0 for none.
    recall: share of the true 10 nearest that were found, over `queries` queries, with `low` the lower bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    rows: int
    partitions: int
    probes: int
    refine: int = 0
    recall: float
    low: float
    queries: int
    coarse_recall: float | None = None


class State(BaseModel):
    """How far an index is: whether all records are in, whether product quantisation was asked for, and its tuning;
    without tuning every search is exact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finished: bool = False
    product_quantisation: bool = False
    tuned: Tuned | None = None


class Store:
    """The table at `path` (a folder, NAME.lance): `key`, `vector` (float32 [dim], unit length), further columns.

    Every write is one commit: a killed writer leaves what it had committed.
    """

    def __init__(self, path: Path, table: Any):
        self.path, self.table = path, table
        self._read_schema()

    def _read_schema(self) -> None:
        self.schema: pa.Schema = self.table.schema
        held = self.schema.field(VECTOR).metadata or {}
        self.facts = Facts(**json.loads(self.schema.metadata[_ENTRY.encode()]))
        self.state = State(**json.loads(held.get(_ENTRY.encode(), b"{}")))

    @classmethod
    def create(cls, path: Path, columns: dict[str, pa.DataType], facts: Facts, overwrite: bool = False) -> "Store":
        """An empty table with the further `columns`. Raises UserError when `path` is taken or cannot be written."""
        lancedb = _lancedb()
        name = _name(path)
        if overwrite or _is_leftover(path):
            _check_ours(path)
            discard(path)
        if path.exists():
            raise UserError(f"{path} is there already; --add adds to it, --overwrite replaces it.")
        fields = [
            pa.field(KEY, pa.string(), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float32(), facts.dim)),
            *(pa.field(column, kind) for column, kind in columns.items()),
        ]
        schema = pa.schema(fields, metadata={_ENTRY: facts.model_dump_json()})
        with _sentences(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(path, _connected(lancedb, path).create_table(name, schema=schema))

    @classmethod
    def open(cls, path: Path) -> "Store":
        """The table at `path`. Raises UserError when there is none, or it is not an index of ours."""
        lancedb = _lancedb()
        if not path.exists():
            raise UserError(f"There is no index {path}; make one: sensorium index RUN SOURCE --out {path}.")
        foreign = UserError(f"{path} is not an index that 'sensorium index' made; give the folder that --out named.")
        if not path.is_dir() or not _has_commit(path):
            raise foreign
        try:
            return cls(path, _connected(lancedb, path).open_table(_name(path)))
        except (KeyError, TypeError, ValidationError, json.JSONDecodeError):
            raise foreign from None
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(
                f"{path} cannot be opened ({_first(error)}); bring a whole copy, or index again."
            ) from error

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The further columns, by name."""
        return {field.name: field.type for field in self.schema if field.name not in (KEY, VECTOR)}

    def __len__(self) -> int:
        return self.table.count_rows()

    def count(self, where: str | None) -> int:
        """How many records the filter leaves. Raises UserError for a filter that is not understood."""
        try:
            return self.table.count_rows(where)
        except (ValueError, RuntimeError) as error:
            raise self._of_filter(where, error) from error

    def _of_filter(self, where: str | None, error: Exception) -> UserError:
        missing = re.search(r"No field named \W*([^\s`\"']+?)\W*(?:\.\s|\.?$)", str(error))
        if missing:
            return UserError(f"The filter {where!r}: {unknown('column', missing[1], [KEY, *self.columns])}")
        reason = re.sub(
            r"^.*Invalid user input: |^.*sql parser error: |^Invalid input, |, /\S+:\d+.*$", "", _first(error)
        )
        return UserError(
            f"The filter {where!r} is not understood: {reason.rstrip('.)')};"
            " write it as \"price < 50 AND colour = 'red'\", a name with a space in backquotes."
        )

    def add(self, rows: pa.Table) -> None:
        """Appends rows, in one commit."""
        with _sentences(self.path):
            self.table.add(rows)

    def replace(self, rows: pa.Table) -> None:
        """Adds rows, each in the place of the one with its key, if there is one; in one commit."""
        with _sentences(self.path):
            self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, where: str) -> int:
        """Removes the rows that the filter names; says how many. Raises UserError for a filter that is no filter."""
        count = self.count(where)
        with _sentences(self.path):
            if count:
                self.table.delete(where)
        return count

    def remember(self, **changes: Any) -> None:
        """Writes down a changed state, in one commit."""
        state = self.state.model_copy(update=changes)
        with _sentences(self.path):
            self.table.update_field_metadata({"path": VECTOR, "metadata": {_ENTRY: state.model_dump_json()}})
        self._read_schema()

    def keys(self) -> set[str]:
        """The keys of all rows."""
        found: set[str] = set()
        for batch in self._batches([KEY]):
            found.update(batch.column(KEY).to_pylist())
        return found

    def vectors(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers of LanceDB's, uint64 [n], and vectors, float32 [n, dim], of all rows, some at a time."""
        for batch in self._batches([VECTOR]):
            flat = batch.column(VECTOR).flatten().to_numpy()
            yield batch.column("_rowid").to_numpy(), flat.reshape(-1, self.facts.dim)  # [n, dim]

    def _batches(self, columns: list[str]) -> Iterable[pa.RecordBatch]:
        return self.table.search().select(columns).with_row_id(True).to_batches(_READ)

    def tidy(self, alone: bool = False) -> None:
        """Joins small files, brings new rows into the vector index and drops versions older than a day; `alone`, when
        nobody else has the table open, all but the newest.
        """
        with _sentences(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that no other process may be reading: `alone` says so
            self.table.optimize(cleanup_older_than=timedelta(0 if alone else 1), delete_unverified=alone)


def quoted(keys: Iterable[str]) -> str:
    """The filter that leaves these keys."""
    return f"{KEY} IN ({', '.join(_literal(key) for key in keys)})"


def _literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError:
        raise needs("lancedb", "search") from None
    return lancedb


def _connected(lancedb: Any, path: Path) -> Any:
    """The folder that `path` lies in as LanceDB's database, with bounds on what it keeps in memory (else 6 GiB)."""
    session = lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
    return lancedb.connect(str(path.parent), session=session)


def _name(path: Path) -> str:
    if path.suffix != ".lance" or not _NAME.fullmatch(path.stem):
        raise UserError(f"{path} does not name an index: its name is letters, digits, _ and -, and ends in .lance.")
    return path.stem


def _has_commit(path: Path) -> bool:
    return (path / "_versions").is_dir() and any((path / "_versions").iterdir())


def _is_leftover(path: Path) -> bool:
    """Whether a killed writer left `path` before its first commit."""
    return path.is_dir() and not _has_commit(path) and {one.name for one in path.iterdir()} <= _LANCE


def _check_ours(path: Path) -> None:
    """Raises UserError unless `path` may be replaced: an index, or what is left of one."""
    if path.exists() and not _is_leftover(path):
        Store.open(path)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turns what the disk refuses while writing `path` into a sentence."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        said = re.search(r"No space left on device|Permission denied|Read-only file system|File too large", str(error))
        if said is None:
            raise
        raise UserError(f"Cannot write {path}: {said[0]}; make room or choose another place.") from error


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
