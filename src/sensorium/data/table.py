"""A table of records with its schema: read it, take rows of it, ask for its cells."""

import difflib
import sys
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table as Printed

from sensorium.data import split as splitting
from sensorium.data.columns.parse import convert, is_missing, takes_text
from sensorium.data.infer_schema import infer_schema
from sensorium.data.schema import InputSpec, Schema
from sensorium.data.sources.tables import read_source
from sensorium.data.strings import CompactStrings, as_compact, is_compact
from sensorium.errors import UserError


class Table:
    """N records: `frame` (the cells as the user gave them), `schema`, `root` (the folder that media paths start from),
    `rows` (int64 [N], each record's place in the source, from 1), `source` (what errors call the table) and `shards`
    (how many tar files the records lie in; 0 for a table).
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        schema: Schema,
        root: Path,
        rows: np.ndarray,
        source: str = "the table",
        shards: int = 0,
    ):
        self.frame, self.schema, self.root, self.rows, self.source = frame, schema, Path(root), rows, source
        self.shards = shards
        self._kinds = {column.name: column.kind for column in schema.columns}
        self._cells: dict[tuple[str, str], np.ndarray | CompactStrings] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, name: str, kind: str) -> np.ndarray:
        """The column `name` in the form of `kind`: float64 [N] with NaN, or object [N] with None, where absent.

        A column that the table lacks is absent in every row. Raises UserError, naming row and column, for a cell of
        another kind.
        """
        cells = self._column(name, kind)
        return cells.to_objects() if isinstance(cells, CompactStrings) else cells

    def _column(self, name: str, kind: str) -> np.ndarray | CompactStrings:
        """`cells`, kept: texts and paths compactly."""
        if (name, kind) not in self._cells:
            self._cells[name, kind] = self._converted(name, kind)
        return self._cells[name, kind]

    def _converted(self, name: str, kind: str) -> np.ndarray | CompactStrings:
        if name not in self.frame.columns:
            return np.full(len(self), np.nan) if kind == "number" else CompactStrings.from_objects([None] * len(self))
        texts = as_compact(self.frame[name]) if takes_text(kind) else None
        if texts is not None:
            return texts
        values = self.frame[name].to_numpy()
        converted, wrong = convert(values, kind)
        if wrong is not None:
            raise self.mistake(
                wrong[0],
                name,
                f"{_short(values[wrong[0]])} cannot be read as {kind}: {wrong[1]}; mend it or leave it empty",
            )
        if takes_text(kind) and set(map(type, converted)) <= {str, type(None)}:
            return CompactStrings.from_objects(converted)
        return converted

    def mistake(self, index: int, column: str, what: str) -> UserError:
        """The error about the cell of row `index` (from 0) in `column`."""
        return UserError(f"Row {self.rows[index]}, column '{column}' of {self.source}: {what}.")

    def value(self, index: int, spec: InputSpec) -> Any:
        """What record `index` (from 0) has for an input, or None.

        A text, path, bytes or decoded value; for a table {column: float | str | None}.
        """
        if spec.modality != "table":
            return self._column(spec.columns[0], self._kinds[spec.columns[0]])[index]
        row = {name: self._cell(index, name) for name in spec.columns}
        return None if all(value is None for value in row.values()) else row

    def _cell(self, index: int, name: str) -> float | str | None:
        value = self._column(name, self._kinds[name])[index]
        return (None if np.isnan(value) else float(value)) if self._kinds[name] == "number" else value

    def present(self, spec: InputSpec) -> np.ndarray:
        """bool [N]: which records have the input."""
        return ~np.logical_and.reduce([pd.isna(self.cells(name, self._kinds[name])) for name in spec.columns])

    @property
    def keys(self) -> list[str]:
        """Each record's name: its cell in the key column; its row number where that is missing."""
        if self.schema.key is None:
            return self.rows.astype(str).tolist()
        return self._named(self.schema.key, "key", "").tolist()

    @property
    def groups(self) -> np.ndarray | None:
        """object [N] of str, each record's group; None without a group column.

        A record without a group is one of its own.
        """
        if self.schema.group is None or self.schema.group not in self.frame.columns:
            return None
        return self._named(self.schema.group, "group", "row ")

    def _named(self, name: str, kind: str, prefix: str) -> np.ndarray:
        """object [N]: the cells of a column; where they are absent `prefix` and the row's number."""
        cells = self.cells(name, kind)
        gone = pd.isna(cells)
        if gone.any():
            cells = cells.copy()
            cells[gone] = [f"{prefix}{row}" for row in self.rows[gone]]
        return cells

    def take(self, index: np.ndarray) -> "Table":
        """The records `index` (int64 [M] from 0, or bool [N]), in that order."""
        frame = self.frame.iloc[index].reset_index(drop=True)
        taken = Table(frame, self.schema, self.root, self.rows[index], self.source, self.shards)
        for (name, kind), cells in self._cells.items():
            if not isinstance(cells, CompactStrings):
                taken._cells[name, kind] = cells[index]
            elif name in frame.columns and not is_compact(frame[name]):
                taken._cells[name, kind] = cells.take(index)  # others share the frame's memory when they are asked for
        return taken

    def ignoring(self, name: str, reason: str) -> "Table":
        """The same records with the column `name` ignored, for `reason`. Raises UserError when no input is left."""
        schema = self.schema.ignoring(name, reason)
        if not schema.inputs:
            raise UserError(
                f"Without the column '{name}' there is no input left in {self.source}; add a column to learn from."
            )
        return self.under(schema)

    def under(self, schema: Schema) -> "Table":
        """The same records under another schema."""
        table = Table(self.frame, schema, self.root, self.rows, self.source, self.shards)
        table._cells = self._cells
        return table

    def split(
        self,
        ratio: float | None = None,
        seed: int = 0,
        column: str | None = None,
        test: str | None = None,
        ids: dict[str, np.ndarray] | None = None,
        together: np.ndarray | None = None,
    ) -> tuple["Table", "Table"]:
        """Two tables: a share `ratio` of the records and the rest, or by a `column` (`test` is the held-out value).

        By ratio it keeps the shares of the first class target's classes, and each group on one side; without a group
        column, what has one value in `together`, [N]. `ids` (by input name, int64 [N], a hash of each file) lets it see
        identical files. Warns when identical records or files stand on both sides. Raises UserError.
        """
        table, first, second = splitting.sides(self, ratio, seed, column, test, together)
        one, two = table.take(first), table.take(second)
        cut = (
            [None, None]
            if ids is None
            else [{name: values[index] for name, values in ids.items()} for index in (first, second)]
        )
        shared = splitting.overlap(one, two, *cut)
        if shared:
            warnings.warn(shared, UserWarning, stacklevel=2)
        return one, two

    def describe(self) -> Printed:
        """The schema as a Rich table, with an example of each column."""
        examples = {}
        for name in self.frame.columns:
            present = np.flatnonzero(~is_missing(self.frame[name].to_numpy()))
            examples[name] = _short(self.frame[name].iat[present[0]]) if len(present) else ""
        return self.schema.describe(examples)


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
) -> Table:
    """A table from a CSV, TSV, JSONL or Parquet file, a pandas table or dicts; unless `quiet`, prints its schema.

    Or from a folder of class folders, a folder that Datasets saved, or tar shards: their folder or a pattern.
    `target` is a name, several, or {name: class | labels | number | answer}; `columns` states kinds, {name: kind}; what
    is not stated is guessed from the values. `inputs` names the columns that are inputs, where not all of them are; the
    others are ignored, unless they are the target, the group or the key; a group of pictures is an input as well. With
    `schema`, a model's, nothing is guessed or printed: a missing column is absent in every row, a column that the
    schema does not have is not read, a cell of the wrong kind is an error. Paths start at `root`: the file's folder,
    else the working folder. `rows`, int64 [N], numbers the records otherwise than from 1. Raises UserError.
    """
    frame, place, name, kinds, shards = read_source(source)
    root = Path(root) if root is not None else place
    rows = np.arange(1, len(frame) + 1) if rows is None else np.asarray(rows)
    if schema is None:
        table = Table(frame, Schema(columns=[], inputs=[]), root, rows, name, shards)
        table = table.under(infer_schema(table, target, group, key, columns or {}, kinds, inputs))
        if not quiet:
            Console(width=None if sys.stdout.isatty() else 140).print(table.describe())
        return table
    if target or group or key or columns or inputs:
        raise UserError(
            "The model's schema already says what each column is; leave out target, group, key, columns and inputs."
        )
    table = Table(frame, schema, root, rows, name, shards)
    _enforce(table, from_file=isinstance(source, str | Path))
    return table


def _enforce(table: Table, from_file: bool) -> None:
    """Checks the cells of every input against the schema."""
    wanted = [name for spec in table.schema.inputs for name in spec.columns]
    missing = [name for name in wanted if name not in table.frame.columns]
    if from_file and len(missing) == len(wanted):
        raise UserError(
            f"{table.source} has none of the columns that the model reads ({', '.join(wanted)}); it has"
            f" {', '.join(table.frame.columns)}: is it the right file?"
        )
    known = {column.name for column in table.schema.columns}
    spare = {name.casefold(): name for name in table.frame.columns if name not in known}
    for name in missing:
        near = difflib.get_close_matches(name.casefold(), spare, n=1, cutoff=0.8)
        if near:
            warnings.warn(
                f"{table.source} has no column '{name}', so it is absent in every row; its column"
                f" '{spare[near[0]]}' is not read, as the model does not know that name.",
                UserWarning,
                stacklevel=3,
            )
    for spec in table.schema.inputs:
        for name in spec.columns:
            table.cells(name, table.schema.column(name).kind)


def _short(value: Any) -> str:
    """A cell in at most 40 characters."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, np.ndarray):
        return f"array {'x'.join(map(str, value.shape))} {value.dtype}"
    shown = " ".join(repr(value).split()) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
