"""Records written into an index as they are embedded, in whole commits, so that a killed build goes on."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sensorium.errors import RecordError, UserError, counted
from sensorium.indexing import kept
from sensorium.indexing.embedding import Embedded
from sensorium.indexing.source import Source
from sensorium.indexing.store import KEY, VECTOR, Facts, Store

# A commit is a file and a version of the table, so it should be large; what a kill loses, it should be small.
_COMMIT_ROWS = 4096
_COMMIT_SECONDS = 10.0


def _unheard(done: int) -> None:
    """Progress that nobody is told of."""


class Work(NamedTuple):
    """How the work is done: what becomes of records that cannot be read ("stop" or "skip"), how many processes read
    them, and what is entered for the time of the work, given the number of records, to be told of those gone through.
    """

    bad_records: str = "stop"
    workers: int = 0
    counting: Callable[[int], AbstractContextManager[Callable[[int], None]]] = lambda total: nullcontext(_unheard)


PLAIN = Work()


class Filled(NamedTuple):
    """How many records were embedded, how many lacked the input, how many stood there already, the bad ones, and which
    columns the index does not keep.
    """

    embedded: int
    absent: int
    known: int
    bad: list[RecordError]
    left_out: list[str]


def begin(path: Path, source: Source, facts: Facts, overwrite: bool) -> Store:
    """The table to fill: a new one, or the unfinished one that a stopped build of the same left there.

    Raises UserError when something else is there.
    """
    names = kept.safe_names(list(source.columns))
    columns = {names[column]: kind for column, kind in source.columns.items()}
    if overwrite or not path.exists() or not _is_begun(path):
        return Store.create(path, columns, facts, overwrite)
    store = Store.open(path)
    changed = [name for name in Facts.model_fields if getattr(store.facts, name) != getattr(facts, name)]
    if changed or store.columns != columns or store.keys() - set(source.keys):
        told = ", ".join(changed) or "records"
        raise UserError(
            f"{path} is the unfinished index of something else ({told} differ); give the command that began it,"
            " or --overwrite to begin anew."
        )
    return store


def _is_begun(path: Path) -> bool:
    """Whether `path` is an index whose build has not ended."""
    try:
        return not Store.open(path).state.finished
    except UserError:
        return False


def fill(store: Store, source: Source, embed: Callable[[Iterable[int]], Iterator[Embedded]], work: Work) -> Filled:
    """Embeds the records of `source` that the table lacks, and adds them. Ctrl-C and a bad record keep what was done.

    Raises RecordError for a bad record unless such are to be skipped, UserError when none was embedded at all.
    """
    there = store.keys()
    rows = [row for row, key in enumerate(source.keys) if key not in there]
    with work.counting(len(rows)) as advance:
        filled = _write(store.add, store, source, embed(rows), work.bad_records, advance)
    filled = filled._replace(known=len(source.keys) - len(rows))
    if not filled.embedded and not filled.known:
        if filled.bad:
            raise UserError(
                f"Every one of the {counted(len(filled.bad), 'record')} is bad, first this: {filled.bad[0]}"
            )
        raise UserError(f"No record of {source.name} has the input '{source.input}', so there is nothing to index.")
    return filled


def extend(store: Store, source: Source, embed: Callable[[Iterable[int]], Iterator[Embedded]], work: Work) -> Filled:
    """Embeds the records of `source` and adds them, each in the place of the one with its key, if there is one."""
    with work.counting(len(source.keys)) as advance:
        return _write(store.replace, store, source, embed(range(len(source.keys))), work.bad_records, advance)


def _write(
    put: Callable[[pa.Table], None],
    store: Store,
    source: Source,
    stream: Iterator[Embedded],
    bad_records: str,
    advance: Callable[[int], None],
) -> Filled:
    waiting: list[Embedded] = []
    embedded, absent, bad, since = 0, 0, [], time.monotonic()
    try:
        for one in stream:
            absent, bad = absent + one.absent, bad + one.bad
            if len(one.rows):
                waiting.append(one)
                embedded += len(one.rows)
            if one.bad and bad_records == "stop":
                raise one.bad[0]
            if sum(len(part.rows) for part in waiting) >= _COMMIT_ROWS or time.monotonic() - since > _COMMIT_SECONDS:
                _commit(put, store, source, waiting)
                since = time.monotonic()
            advance(len(one.rows) + one.absent + len(one.bad))
    finally:
        _commit(put, store, source, waiting)
    names = kept.safe_names(list(source.columns))
    strange = [column for column, name in names.items() if name not in store.columns]
    return Filled(embedded, absent, 0, bad, source.left_out + strange)


def _commit(put: Callable[[pa.Table], None], store: Store, source: Source, waiting: list[Embedded]) -> None:
    if not waiting:
        return
    rows = np.concatenate([part.rows for part in waiting])
    vectors = np.concatenate([part.vectors for part in waiting])  # [n, E]
    waiting.clear()
    put(_as_rows(store, source, rows, vectors))


def _as_rows(store: Store, source: Source, rows: np.ndarray, vectors: np.ndarray) -> pa.Table:
    """Rows of the index's schema: of the records `rows`, int64 [n], the keys, the vectors and the index's columns."""
    table = source.table.take(rows)
    column_of = {name: column for column, name in kept.safe_names(list(source.columns)).items()}
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
    arrays = {
        KEY: pa.array([source.keys[row] for row in rows], pa.string()),
        VECTOR: pa.FixedSizeListArray.from_arrays(flat, type=store.schema.field(VECTOR).type),
    } | {name: kept.cells(table, column_of.get(name, name), kind) for name, kind in store.columns.items()}
    return pa.Table.from_arrays([arrays[name] for name in store.schema.names], schema=store.schema)
