"""A table of records with its schema: take rows of it, ask for its cells."""

import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table as Printed
from torch import Tensor

from sensorium.console import shorten
from sensorium.data import split as splitting
from sensorium.data.columns.dates import date_features
from sensorium.data.columns.parse import WrongCell, holds_dates, is_missing, takes_text
from sensorium.data.columns.reading import Reading, as_meant, convert, respelled
from sensorium.data.finding import Finding
from sensorium.data.media.image import size_of
from sensorium.data.notebook import MOST_COLUMNS, MOST_ROWS, facts_text, html_table, record_cell, schema_facts
from sensorium.data.schema import STATED_KINDS, InputSpec, Schema, TargetSpec
from sensorium.data.strings import CompactStrings, as_compact, is_compact
from sensorium.data.targets import TARGETS, CellError, TargetColumn, TargetKind
from sensorium.errors import RecordError, UserError, counted


class Table:
    """N records: `frame` (the cells as the user gave them), `schema`, `root` (the folder that media paths start from),
    `rows` (int64 [N], each record's position in the source, from 1), `source` (what errors call the table) and `shards`
    (how many tar files the records lie in; 0 for a table). `misfits`: cells that cannot be read and are absent here;
    `findings`: what was noticed in reading it.
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
        self.misfits: list[RecordError] = []
        self.findings: list[Finding] = []
        self._cells: dict[tuple[str, str], np.ndarray | CompactStrings] = {}
        self._dates: dict[str, dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        source = {"from": shorten(self.source, 80)}
        return facts_text(f"Table of {counted(len(self), 'record')}", source | schema_facts(self.schema))

    def _repr_html_(self) -> str:
        """The first records, their pictures and sounds inline."""
        names = [str(name) for name in self.frame.columns[:MOST_COLUMNS]]
        specs = {name: [spec for spec in self.schema.inputs if name in spec.columns] for name in names}
        rows = [
            [record_cell(self.frame[name].iat[row], specs[name], self.root) for name in names]
            for row in range(min(len(self), MOST_ROWS))
        ]
        headers = [f"{shorten(name)} ({self._kinds.get(name, 'ignored')})" for name in names]
        omitted = {"more record": len(self) - len(rows), "more column": len(self.frame.columns) - len(names)}
        notes = [f"{counted(count, what)}." for what, count in omitted.items() if count]
        return html_table(repr(self), headers, rows, notes)

    def cells(self, name: str, kind: str) -> np.ndarray:
        """The column `name` in the form of `kind`: float64 [N] with NaN, or object [N] with None, where absent.

        A column that the table lacks is absent in every row. Raises UserError, naming row and column, for a cell of
        another kind.
        """
        cells = self._column(name, kind)
        return cells.to_objects() if isinstance(cells, CompactStrings) else cells

    def _column(self, name: str, kind: str) -> np.ndarray | CompactStrings:
        """What `cells` gives, converted once and then remembered; texts and paths in little memory."""
        if (name, kind) not in self._cells:
            self._cells[name, kind] = self._convert(name, kind)
        return self._cells[name, kind]

    def _convert(self, name: str, kind: str) -> np.ndarray | CompactStrings:
        target = self._target_kind(name, kind)
        if name not in self.frame.columns:
            return self._absent_column(kind, target)
        texts_stay = takes_text(kind) if target is None else target.takes_text
        stay_as_written = texts_stay and self.reading(name) is None and not self._labels(name)
        texts = as_compact(self.frame[name]) if stay_as_written else None
        if texts is not None:
            return texts
        converted, wrong = self._read(name, kind)
        if wrong:
            row, reason = wrong[0]
            value = _format_cell(self.frame[name].iat[row])
            raise self.mistake(row, name, f"{value} cannot be read as {kind}: {reason}; mend it or leave it empty")
        if texts_stay and set(map(type, converted)) <= {str, type(None)}:
            return CompactStrings.from_objects(converted)
        return converted

    def _read(self, name: str, kind: str) -> tuple[np.ndarray, list[WrongCell]]:
        """The cells [N] of a column of the frame in the form of `kind`, and those that cannot be read."""
        values, reading = self.frame[name].to_numpy(), self.reading(name)
        target = self._target_kind(name, kind)
        if target is None:
            return convert(values, kind, reading)
        if reading is not None:
            values = as_meant(values, reading)
        converted, wrong = target.convert(values)
        spec = next((spec for spec in self.schema.targets if spec.name == name), None)
        if spec is not None and spec.picture is not None:
            converted, outside, cut = target.relate(converted, partial(self.picture_size, spec))
            wrong = [*wrong, *outside]
            if cut:
                warnings.warn(
                    f"Column '{name}' of {self.source}: cut at the edge of the picture: {counted(cut, 'place')}.",
                    UserWarning,
                    stacklevel=2,
                )
        return (respelled(converted, self._labels(name)) if self._labels(name) else converted), wrong

    def picture_size(self, target: TargetSpec, index: int) -> tuple[int, int] | None:
        """Width and height of the picture that a target of record `index` (from 0) is about; None where it is absent or
        cannot be read.
        """
        spec = next(spec for spec in self.schema.inputs if spec.name == target.picture)
        value = self.value(index, spec)
        try:
            return None if value is None else size_of(value, self.root)
        except ValueError:  # the scan of all files says so
            return None

    def _target_kind(self, name: str, kind: str) -> type[TargetKind] | None:
        """The kind of target that the column `name` is read as; None of another column: both may be texts."""
        is_target = kind not in STATED_KINDS or any(spec.name == name for spec in self.schema.targets)
        return TARGETS.get(kind) if is_target else None

    def _labels(self, name: str) -> list[str]:
        """The labels of the target `name`; [] of a column that has none."""
        return next((spec.labels for spec in self.schema.targets if spec.name == name), [])

    def reading(self, name: str) -> Reading | None:
        """How the cells of the column `name` are read; None as they are."""
        column = self.schema.column(name)
        return column and column.reading

    def without_unreadable(self) -> "Table":
        """The same records with every cell of an input that cannot be read absent; `misfits` lists these."""
        frame, misfits, cells = self.frame, [], {}
        for name in dict.fromkeys(name for spec in self.schema.inputs for name in spec.columns):
            kind = self._kinds[name]
            if name not in frame.columns or (takes_text(kind) and as_compact(frame[name]) is not None):
                continue
            converted, wrong = self._read(name, kind)
            if wrong:
                misfits += [self._misfit(row, name, reason) for row, reason in wrong]
                column = frame[name].astype(object).copy()
                column.iloc[[row for row, _ in wrong]] = None
                frame = frame.assign(**{name: column})
                cells[name, kind] = converted
        table = self if not misfits else Table(frame, self.schema, self.root, self.rows, self.source, self.shards)
        table._cells |= {} if table is self else self._cells | cells
        table.misfits = misfits
        return table

    def without_values(self, errors: Iterable[RecordError]) -> "Table":
        """The same records with the values that `errors` name absent."""
        index_of = {int(row): index for index, row in enumerate(self.rows)}
        columns_of = {", ".join(spec.columns): spec.columns for spec in self.schema.inputs}
        frame = self.frame.copy()
        for error in errors:
            for name in columns_of.get(error.column, [error.column]):
                frame[name] = frame[name].astype(object)
                frame.iat[index_of[error.row], frame.columns.get_loc(name)] = None
        return Table(frame, self.schema, self.root, self.rows, self.source, self.shards)

    def _misfit(self, row: int, name: str, reason: str) -> RecordError:
        return RecordError(int(self.rows[row]), name, _format_cell(self.frame[name].iat[row]), reason)

    def _absent_column(self, kind: str, target: type[TargetKind] | None) -> np.ndarray | CompactStrings:
        """A column without any value, in the form of `kind`."""
        empty = np.full(len(self), None, dtype=object)
        converted = (convert(empty, kind) if target is None else target.convert(empty))[0]
        return CompactStrings.from_objects(converted) if converted.dtype == object else converted

    def target_column(self, spec: TargetSpec, processor: Any = None) -> TargetColumn:
        """The lazy column of a target, with the processor of its head, if that has one.

        Raises UserError, naming row, column and label, for a label that is unknown.
        """
        try:
            return TARGETS[spec.kind].column(self.cells(spec.name, spec.kind), spec.labels, processor)
        except CellError as error:
            raise self.mistake(error.row, spec.name, error.reason) from error

    def encode_target(self, spec: TargetSpec) -> dict[str, Tensor]:
        """The target of all N records as tensors: `mask`, bool [N], and what its kind has, [N, ...]."""
        return self.target_column(spec)(np.arange(len(self)))

    def mistake(self, index: int, column: str, reason: str) -> UserError:
        """The error about the cell of row `index` (from 0) in `column`."""
        return UserError(f"Row {self.rows[index]}, column '{column}' of {self.source}: {reason}.")

    def value(self, index: int, spec: InputSpec) -> Any:
        """What record `index` (from 0) has for an input, or None.

        A text, path, bytes or decoded value; for a table {column: float | str | None}.
        """
        if spec.modality != "table":
            return self._column(spec.columns[0], self._kinds[spec.columns[0]])[index]
        row: dict[str, float | str | None] = {}
        for name in spec.columns:
            cells = self._date_features(name) if holds_dates(self._kinds[name]) else None
            if cells is None:
                row[name] = self._cell(index, self._column(name, self._kinds[name]))
            else:
                row |= {f"{name} ({feature})": self._cell(index, values) for feature, values in cells.items()}
        return None if all(value is None for value in row.values()) else row

    def _date_features(self, name: str) -> dict[str, np.ndarray]:
        """What is read of a column of dates, [N] each, made once and then remembered."""
        if name not in self._dates:
            self._dates[name] = date_features(self._column(name, "date"), (self.reading(name) or Reading()).hours)
        return self._dates[name]

    @staticmethod
    def _cell(index: int, cells: np.ndarray | CompactStrings) -> float | str | None:
        value = cells[index]
        if isinstance(value, float | np.floating):
            return None if np.isnan(value) else float(value)
        return value

    def present(self, spec: InputSpec) -> np.ndarray:
        """bool [N]: which records have the input."""
        return ~np.logical_and.reduce([pd.isna(self.cells(name, self._kinds[name])) for name in spec.columns])

    @property
    def keys(self) -> list[str]:
        """Each record's name: its cell in the key column; its row number where that is missing."""
        if self.schema.key is None:
            return self.rows.astype(str).tolist()
        return self._fill_absent(self.schema.key, "key", "").tolist()

    @property
    def groups(self) -> np.ndarray | None:
        """object [N] of str, each record's group; None without a group column.

        A record without a group is one of its own.
        """
        if self.schema.group is None or self.schema.group not in self.frame.columns:
            return None
        return self._fill_absent(self.schema.group, "group", "row ")

    def _fill_absent(self, name: str, kind: str, prefix: str) -> np.ndarray:
        """object [N]: the cells of a column; where they are absent `prefix` and the row's number."""
        cells = self.cells(name, kind)
        absent = pd.isna(cells)
        if absent.any():
            cells = cells.copy()
            cells[absent] = [f"{prefix}{row}" for row in self.rows[absent]]
        return cells

    def take(self, index: np.ndarray) -> "Table":
        """The records `index` (int64 [M] from 0, or bool [N]), in that order."""
        frame = self.frame.iloc[index].reset_index(drop=True)
        table = Table(frame, self.schema, self.root, self.rows[index], self.source, self.shards)
        rows = set(table.rows.tolist()) if self.misfits else set()
        table.misfits = [misfit for misfit in self.misfits if misfit.row in rows]
        for (name, kind), cells in self._cells.items():
            if not isinstance(cells, CompactStrings):
                table._cells[name, kind] = cells[index]
            elif name in frame.columns and not is_compact(frame[name]):
                table._cells[name, kind] = cells.take(index)  # a compact column shares the frame's memory when read
        return table

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
        table.misfits = self.misfits
        read_alike = {column.name for column in schema.columns if column.reading == self.reading(column.name)}
        # What is learned of a target before training changes no cell but by its labels.
        targets_alike = _read_as(schema) == _read_as(self.schema)
        table._cells = {
            (name, kind): cells
            for (name, kind), cells in self._cells.items()
            if name in read_alike and (targets_alike or self._target_kind(name, kind) is None)
        }
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
        """Two tables: a share `ratio` of the records and all others, or by a `column` (`test` is the held-out value).

        A split by ratio keeps the shares of the first class target's classes, and each group on one side, and the
        records of one value in `together`, [N]. Warns when identical records or files stand on both
        sides; `ids`, by input name a hash of each file, int64 [N], lets it see identical files. Raises UserError.
        """
        table, *rows_of_sides = splitting.sides(self, ratio, seed, column, test, together)
        kept_side, held_out_side = (table.take(rows) for rows in rows_of_sides)
        ids_of_sides = [
            None if ids is None else {name: values[rows] for name, values in ids.items()} for rows in rows_of_sides
        ]
        warning = splitting.overlap(kept_side, held_out_side, *ids_of_sides)
        if warning:
            warnings.warn(warning, UserWarning, stacklevel=2)
        return kept_side, held_out_side

    def describe(self) -> Printed:
        """The schema as a Rich table, with an example of each column."""
        examples = {}
        for name in self.frame.columns:
            present = np.flatnonzero(~is_missing(self.frame[name].to_numpy()))
            examples[name] = _format_cell(self.frame[name].iat[present[0]]) if len(present) else ""
        return self.schema.describe(examples)


def _read_as(schema: Schema) -> list[tuple]:
    """What the cells of the targets follow from."""
    return [(spec.name, spec.kind, spec.labels, spec.picture) for spec in schema.targets]


def _format_cell(value: Any) -> str:
    """A cell as errors and examples show it, text in quotes, in at most 40 letters."""
    return shorten(repr(value) if isinstance(value, str) else value, 40)
