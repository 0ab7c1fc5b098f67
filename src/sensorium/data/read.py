"""read: a table of records from a file, a folder, a pandas table or dicts, with what its columns are."""

import difflib
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sensorium.console import Console, shorten
from sensorium.data.columns.names import as_names
from sensorium.data.finding import Finding
from sensorium.data.infer_schema import infer_schema
from sensorium.data.schema import Schema
from sensorium.data.sources.tables import read_source
from sensorium.data.table import Table
from sensorium.errors import UserError, counted

_MOST_FINDINGS, _LONGEST_SENTENCE = 6, 400


def read(
    source: str | Path | pd.DataFrame | Iterable[dict],
    target: str | list[str] | dict[str, str | None] | None = None,
    group: str | None = None,
    key: str | None = None,
    columns: dict[str, str] | None = None,
    schema: Schema | None = None,
    quiet: bool = False,
    root: str | Path | None = None,
    rows: np.ndarray | None = None,
    inputs: Collection[str] | None = None,
    strict: bool = False,
) -> Table:
    """A table from a CSV, TSV, JSONL or Parquet file, a pandas table or dicts; unless `quiet`, prints its schema.

    Or from a folder of class folders, a folder that Datasets saved, or tar shards: their folder or a pattern.
    `target` is a name, several, or {name: class | labels | number | answer}; `columns` states kinds, {name: kind}; what
    is not stated is guessed from the values; `strict` raises where a guess is not clear. `inputs` names the columns
    that are inputs, where not all of them are; all other columns are ignored, but for target, group and key; a group of
    pictures is an input as well. With `schema`, a model's, nothing is guessed or printed: a missing column is absent in
    every row, a column that the schema does not have is not read, a cell that cannot be read is absent and stands in
    the table's `misfits`. Paths start at `root`: the file's folder, else the working folder. `rows`, int64 [N], numbers
    the records otherwise than from 1. Raises UserError.
    """
    frame, source_root, name, kinds, shards, notices = read_source(source)
    target, group, key, columns, inputs = map(as_names, (target, group, key, columns, inputs))
    root = Path(root) if root is not None else source_root
    rows = np.arange(1, len(frame) + 1) if rows is None else np.asarray(rows)
    if schema is None:
        bare = Table(frame, Schema(columns=[], inputs=[]), root, rows, name, shards)
        table = infer_schema(bare, target, group, key, columns or {}, kinds, inputs, strict=strict)
        table.findings[:0] = [Finding("source", "note", "", [], notice) for notice in notices]
        if not quiet:
            print_read(table, Console())
        return table
    if target or group or key or columns or inputs:
        raise UserError(
            "The model's schema already says what each column is; leave out target, group, key, columns and inputs."
        )
    table = Table(frame, schema, root, rows, name, shards)
    _check_columns(table, from_file=isinstance(source, str | Path))
    table = table.without_unreadable()
    _warn_of_new_values(table)
    return table


def _warn_of_new_values(table: Table) -> None:
    """Warns of values of categories that training did not have."""
    for column in table.schema.columns:
        if column.reading is None or not column.reading.values or column.name not in table.frame.columns:
            continue
        cells = pd.Series(table.cells(column.name, column.kind)).dropna()
        new = cells[~cells.isin(column.reading.values)]
        if len(new):
            examples = ", ".join(repr(shorten(value, 30)) for value in new.unique()[:3])
            warnings.warn(
                f"Column '{column.name}' of {table.source} has a value that training never had in {len(new)} of"
                f" {len(cells)} cells, such as {examples}; the model takes these as unknown.",
                UserWarning,
                stacklevel=4,
            )


def print_read(table: Table, console: Console) -> None:
    """What a table holds, in a line, and a line for each thing that was noticed; with details what each column is."""
    console.print_detail(table.describe())
    console.print(_in_brief(table))
    for finding in table.findings[: None if console.details else _MOST_FINDINGS]:
        console.print(f"! {finding.sentence}")
    if not console.details and len(table.findings) > _MOST_FINDINGS:
        console.print(f"! And {len(table.findings) - _MOST_FINDINGS} more; sensorium inspect lists all.")


def _in_brief(table: Table) -> str:
    """How many records, what is learned from what, and what is left out."""
    schema = table.schema
    names = dict.fromkeys(name for spec in schema.inputs for name in spec.columns)
    inputs = [f"{name} ({schema.column(name).kind})" for name in names]
    targets = [
        f"{spec.name} ({counted(len(spec.labels), 'label')})" if spec.labels else f"{spec.name} ({spec.kind})"
        for spec in schema.targets
    ]
    learned = f"{', '.join(targets)} from " if targets else ""
    left_out = [column.name for column in schema.columns if column.kind in ("ignored", "key")]
    unused = f"; not used: {', '.join(left_out)}" if left_out else ""
    return shorten(
        f"{counted(len(table), 'record')} of {table.source}: {learned}{', '.join(inputs)}{unused}.", _LONGEST_SENTENCE
    )


def missing_columns(table: Table) -> dict[str, str | None]:
    """The columns of the schema's inputs that the table lacks; each with an unread one of nearly its name, which it is
    likely misspelt as, or None."""
    schema_columns = {column.name for column in table.schema.columns}
    unread = {name.casefold(): name for name in table.frame.columns if name not in schema_columns}
    similar = {}
    for name in (name for spec in table.schema.inputs for name in spec.columns):
        if name not in table.frame.columns:
            matches = difflib.get_close_matches(name.casefold(), unread, n=1, cutoff=0.8)
            similar[name] = unread[matches[0]] if matches else None
    return similar


def _check_columns(table: Table, from_file: bool) -> None:
    """Warns of columns that are likely misspelt. Raises UserError when a file has no column of the schema's inputs."""
    required = [name for spec in table.schema.inputs for name in spec.columns]
    missing = missing_columns(table)
    if from_file and len(missing) == len(required):
        raise UserError(
            f"{table.source} has none of the columns that the model reads ({', '.join(required)}); it has"
            f" {', '.join(table.frame.columns)}: is it the right file?"
        )
    for name, similar in missing.items():
        if similar is not None:
            warnings.warn(
                f"{table.source} has no column '{name}', so it is absent in every row; its column"
                f" '{similar}' is not read, as the model does not know that name.",
                UserWarning,
                stacklevel=3,
            )
