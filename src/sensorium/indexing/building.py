"""Records written into an index as they are embedded, in whole commits, so that a killed build can go on."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sensorium.errors import RecordError, UserError, counted
from sensorium.indexing.embedding import Embedded
from sensorium.indexing.source import Source
from sensorium.indexing.store import KEY, VECTOR, Facts, Store
from sensorium.indexing.stored_columns import safe_names, to_arrow

# A commit is a file and a version of the table, so it should be large; a kill loses one, so it should be small.
_COMMIT_ROWS = 4096
_COMMIT_SECONDS = 10.0

Embed = Callable[[Iterable[int]], Iterator[Embedded]]


def _ignore(count: int) -> None:
    """Progress that is shown nowhere."""


class Work(NamedTuple):
    """How records are read: what becomes of those that cannot be read ("stop" or "skip"), how many processes read, and
    a function of the number of records that gives a context, whose value is called with the count of each batch done.
    """

    bad_records: str = "stop"
    workers: int = 0
    counting: Callable[[int], AbstractContextManager[Callable[[int], None]]] = lambda total: nullcontext(_ignore)


PLAIN = Work()


class IndexingResult(NamedTuple):
    """How many records were embedded, lacked the input, were there already; the bad ones; the columns not stored."""

    embedded: int
    absent: int
    known: int
    bad: list[RecordError]
    left_out: list[str]


def open_or_create(path: Path, source: Source, facts: Facts, overwrite: bool) -> Store:
    """A new table, or the one that a stopped build of the source left. Raises UserError for anything else there."""
    names = safe_names(list(source.columns))
    columns = {names[column]: column_type for column, column_type in source.columns.items()}
    if overwrite or not path.exists() or not _is_unfinished(path):
        return Store.create(path, columns, facts, overwrite)
    store = Store.open(path)
    changed = [name for name in Facts.model_fields if getattr(store.facts, name) != getattr(facts, name)]
    if changed or store.columns != columns or store.keys() - set(source.keys):
        differences = ", ".join(changed) or "records"
        raise UserError(
            f"{path} is the unfinished index of something else ({differences} differ); give the command that began it,"
            " or --overwrite to begin anew."
        )
    return store


def _is_unfinished(path: Path) -> bool:
    """Whether `path` is an index whose build has not ended."""
    try:
        return not Store.open(path).state.finished
    except UserError:
        return False


def add_missing(store: Store, source: Source, embed: Embed, work: Work) -> IndexingResult:
    """Embeds and adds the records of `source` that the table lacks. Ctrl-C and a bad record keep what was done. Raises
    RecordError for a bad record unless such are to be skipped, UserError when none was embedded at all."""
    stored_keys = store.keys()
    rows = [row for row, key in enumerate(source.keys) if key not in stored_keys]
    result = _write(store.add, store, source, embed, rows, work)
    result = result._replace(known=len(source.keys) - len(rows))
    if not result.embedded and not result.known:
        if result.bad:
            records = counted(len(result.bad), "record")
            raise UserError(f"Every one of the {records} is bad, first this: {result.bad[0]}")
        raise UserError(f"No record of {source.name} has the input '{source.input}', so there is nothing to index.")
    return result


def add_or_replace(store: Store, source: Source, embed: Embed, work: Work) -> IndexingResult:
    """Embeds the records of `source` and adds them, each in the place of the record with its key, if there is one."""
    return _write(store.replace, store, source, embed, range(len(source.keys)), work)


def _write(
    write: Callable[[pa.Table], None], store: Store, source: Source, embed: Embed, rows: Sequence[int], work: Work
) -> IndexingResult:
    """Embeds the records `rows` and hands them to `write`, a commit at a time."""
    waiting: list[Embedded] = []
    embedded, absent, bad, last_commit = 0, 0, [], time.monotonic()

    def commit() -> None:
        if waiting:
            table = _to_table(store, source, waiting)
            waiting.clear()
            write(table)

    with work.counting(len(rows)) as advance:
        try:
            for batch in embed(rows):
                absent, bad = absent + batch.absent, bad + batch.bad
                if len(batch.rows):
                    waiting.append(batch)
                    embedded += len(batch.rows)
                if batch.bad and work.bad_records == "stop":
                    raise batch.bad[0]
                is_full = sum(len(pending.rows) for pending in waiting) >= _COMMIT_ROWS
                if is_full or time.monotonic() - last_commit > _COMMIT_SECONDS:
                    commit()
                    last_commit = time.monotonic()
                advance(len(batch.rows) + batch.absent + len(batch.bad))
        finally:
            commit()
    names = safe_names(list(source.columns))
    unstored = [column for column, name in names.items() if name not in store.columns]
    return IndexingResult(embedded, absent, 0, bad, source.left_out + unstored)


def _to_table(store: Store, source: Source, batches: list[Embedded]) -> pa.Table:
    """The embedded records in the index's schema: their keys, vectors and the columns that the index stores."""
    rows = np.concatenate([batch.rows for batch in batches])
    vectors = np.concatenate([batch.vectors for batch in batches])  # [n, E]
    table = source.table.take(rows)
    column_of = {name: column for column, name in safe_names(list(source.columns)).items()}
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
    arrays = {
        KEY: pa.array([source.keys[row] for row in rows], pa.string()),
        VECTOR: pa.FixedSizeListArray.from_arrays(flat, type=store.schema.field(VECTOR).type),
    }
    for name, column_type in store.columns.items():
        arrays[name] = to_arrow(table, column_of.get(name, name), column_type)
    return pa.Table.from_arrays([arrays[name] for name in store.schema.names], schema=store.schema)
