"""Predictions of a table, written as they are made, so that memory does not grow with the table."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.columns.parse import is_missing
from sensorium.data.media.content import format_value
from sensorium.data.read import missing_columns
from sensorium.data.scan import WAYS_WITH_BAD_RECORDS, drop_bad_records, scan, write_bad_records
from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError, check_known, counted
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.files import whole_file
from sensorium.inference.rows import WriteRows, suffix_of, write_rows
from sensorium.model import Decide, HasModel, Model, RecordSource, model_of

CHUNK = 4096

_PLAIN_TYPES = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def predict(
    run: HasModel | Model | str | Path,
    records: RecordSource,
    out: str | Path | None = None,
    *,
    bad_records: str = "skip",
    with_inputs: bool = False,
    quiet: bool = True,
) -> pd.DataFrame | dict[str, Any]:
    """What a trained model, that of a Run, or that of a run's or a checkpoint's folder decides on every record.

    Gives a data frame, a row a record, with the index of `records` or their positions from 0: `key`, `<target>`,
    `<target>_probability_<label>` (of an answer `<target>_probability`), `absent` (names of absent inputs).
    out: a file (.parquet, .csv or .jsonl) that the same columns are written to as they are made, whole or not at all,
    so that memory does not grow with the table (in CSV the names in `absent` have bars between them); gives
    {"out", "records", "set_aside", "bad_records"} and prints what was written unless `quiet`.
    bad_records: "skip" leaves out the records with a file that cannot be read, with a warning, and lists them in
    bad_records.csv beside `out`; "absent" takes what cannot be read as absent, says so and lists it likewise; "stop"
    raises the RecordError of the first. with_inputs: adds the columns that the model reads. Raises UserError for what
    the user can mend.
    """
    check_known(WAYS_WITH_BAD_RECORDS, "way with bad records", bad_records)
    if out is not None:
        suffix_of(out)
    model = model_of(run)
    table = model.read(records)
    if isinstance(records, str | Path):
        warn_of_missing_columns(table)
    return decide_records(
        model, table, out, predictions_schema(model), index_of(records, table),
        bad_records=bad_records, with_inputs=with_inputs, quiet=quiet,
    )  # fmt: skip


def index_of(records: RecordSource, table: Table) -> pd.Index:
    """What the rows of a data frame of predictions are called: the index of `records`, or positions from 0."""
    return records.index if isinstance(records, pd.DataFrame) else pd.RangeIndex(len(table))


def decide_records(
    model: Model,
    table: Table,
    out: str | Path | None,
    fields: pa.Schema,
    index: pd.Index,
    *,
    bad_records: str,
    with_inputs: bool = False,
    quiet: bool = True,
    decide: Decide | None = None,
    write: WriteRows = write_rows,
) -> pd.DataFrame | dict[str, Any]:
    """The columns `fields` of every record of `table`, as `predict` gives them; index: [N], what its rows are called.

    decide: see Model.predict_records. write: writes rows into the file `out`.
    """
    inputs = _input_columns(model, table, fields.names) if with_inputs else {}
    for name, column in inputs.items():
        fields = fields.append(pa.field(name, column.type))
    taken_as_absent: list[RecordError] = []
    if bad_records == "absent":
        table, scanned = drop_bad_records(table, scan(table), bad_records)
        taken_as_absent = scanned.bad
        report_absent(taken_as_absent, quiet)
    elif bad_records == "stop" and table.misfits:
        raise table.misfits[0]
    bad = list(table.misfits) if bad_records == "skip" else None
    if bad is not None and decide is not None:  # what takes long is not done twice for the sake of a bad file
        bad += [error for error in scan(table).bad if error.row not in {known.row for known in bad}]
    chunks = predictions(model, table, bad, inputs, decide)
    if out is None:
        frame = pd.DataFrame([row for rows in chunks for row in rows], columns=fields.names)
        report_bad_records(bad, len(table), quiet)
        return frame.set_axis(index[~np.isin(table.rows, [error.row for error in bad or ()])])
    with whole_file(Path(out)) as new:
        write(chunks, fields, new, Path(out).suffix)
    listed = list_bad_records(bad or taken_as_absent, out)
    set_aside = report_bad_records(bad, len(table), quiet)
    if not quiet:
        skipped = f"; {counted(set_aside, 'record')} set aside, {listed} says why" if set_aside else ""
        skipped = f"; {listed} says what could not be read" if taken_as_absent else skipped
        print(f"{counted(len(table) - set_aside, 'prediction')} in {out}{skipped}.")
    return {"out": str(out), "records": len(table) - set_aside, "set_aside": set_aside, "bad_records": listed}


def warn_of_missing_columns(table: Table) -> None:
    """Warns of the columns that the model reads and the table does not have under any similar name."""
    missing = [f"'{name}'" for name, similar in missing_columns(table).items() if similar is None]
    if missing:
        warnings.warn(
            f"{table.source} has no column {', '.join(missing)}, which the model reads; absent in every row.",
            UserWarning,
            stacklevel=3,
        )


def report_bad_records(bad: list[RecordError] | None, count: int, quiet: bool) -> int:
    """Says, by a warning if `quiet`, which of `count` records were left out; returns how many they are."""
    if not bad:
        return 0
    set_aside = len({error.row for error in bad})
    _say(f"{set_aside:,} of {counted(count, 'record')} left out", bad[0], quiet)
    return set_aside


def report_absent(bad: list[RecordError] | None, quiet: bool) -> None:
    """Says, by a warning if `quiet`, how many values were taken as absent, if any."""
    if bad:
        _say(f"{counted(len(bad), 'value')} taken as absent", bad[0], quiet)


def _say(outcome: str, first: RecordError, quiet: bool) -> None:
    """What became of values that cannot be read, with the first of them; a warning if `quiet`."""
    sentence = f"{outcome}, first of all row {first.row}, column '{first.column}', {first.value}: {first.reason}."
    if quiet:
        warnings.warn(sentence, UserWarning, stacklevel=4)
    else:
        print(f"! {sentence}", file=sys.stderr)


def list_bad_records(bad: list[RecordError], out: str | Path | None) -> str | None:
    """Where the bad records are listed: bad_records.csv beside `out`; None where there are none, or no file."""
    if not bad or out is None:
        return None
    path = Path(out).with_name("bad_records.csv")
    write_bad_records(bad, path)
    return str(path)


def predictions(
    model: Model,
    table: Table,
    bad: list[RecordError] | None = None,
    inputs: Mapping[str, pa.Array] = MappingProxyType({}),
    decide: Decide | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table of predictions, a list for each thousands of records: `key`, `absent` (names of absent
    inputs), of each target its decision and probabilities, and the cells of `inputs` [N].

    bad: collects the errors of records that cannot be read, which are left out; without it, the first is raised.
    decide: see Model.predict_records. Raises UserError when all records are bad.
    """
    count = 0
    for start in range(0, len(table), CHUNK):
        positions = np.arange(start, min(start + CHUNK, len(table)))
        rows = []
        for index, row in _predict_readable(model, table, positions, bad, decide):
            rows.append(row | {name: column[index].as_py() for name, column in inputs.items()})
        count += len(rows)
        yield rows
    if bad and not count:
        raise UserError(f"Every one of the {counted(len(table), 'record')} is bad, first of all this: {bad[0]}")


def _predict_readable(
    model: Model, table: Table, positions: np.ndarray, bad: list[RecordError] | None, decide: Decide | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The position and the row of each record of `positions` that can be read; `bad` gets the errors of all others,
    and may have some at the start."""
    while True:
        positions = positions[~np.isin(table.rows[positions], [error.row for error in bad or ()])]
        if not len(positions):
            return
        records = table.take(positions)
        try:
            predicted = model.predict_records(records, decide=decide)
        except RecordError as error:
            if bad is None:
                raise
            bad += scan(records).bad or [error]
            continue
        rows = (_row(model, key, record) for key, record in zip(records.keys, predicted, strict=True))
        yield from zip(positions.tolist(), rows, strict=True)
        return


def _input_columns(model: Model, table: Table, names: list[str]) -> dict[str, pa.Array]:
    """By name, the columns [N] of the table that the model reads: numbers, strings and lists of these as they are, all
    others as messages show them. Raises UserError for a name of a column of predictions, `names`."""
    columns = {}
    for name in (name for spec in model.schema.inputs for name in spec.columns if name in table.frame):
        if name in names:
            raise UserError(f"The input '{name}' has the name of a column of predictions; leave out --with-inputs.")
        columns[name] = _to_column(table.frame[name].to_numpy())
    return columns


def _to_column(cells: np.ndarray) -> pa.Array:
    absent = is_missing(cells)
    try:
        column = pa.array(cells, mask=absent, from_pandas=True)
    except (pa.ArrowException, OverflowError):  # of several kinds, or no plain values
        column = pa.nulls(len(cells))
    element = getattr(column.type, "value_type", column.type)
    if any(is_type(element) for is_type in _PLAIN_TYPES):
        return column
    return pa.array([None if gap else format_value(cell) for cell, gap in zip(cells, absent, strict=True)], pa.string())


def _row(model: Model, key: str, predicted: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"key": key, "absent": predicted["absent"]}
    for target in model.schema.targets:
        row |= TARGET_COLUMNS[target.kind].row(target.name, predicted[target.name])
    return row


def predictions_schema(model: Model) -> pa.Schema:
    """The columns of a table of predictions."""
    targets = [field for target in model.schema.targets for field in TARGET_COLUMNS[target.kind].fields(target)]
    return pa.schema([pa.field("key", pa.string()), *targets, pa.field("absent", pa.list_(pa.string()))])
