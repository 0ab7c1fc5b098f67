"""Predictions of a table, written as they are made, so that memory does not grow with the table."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sensorium.data.scan import drop_bad_records, scan, write_bad_records
from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError, counted
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.files import whole_file
from sensorium.model import HasModel, Model, model_of

CHUNK = 4096


def predict(
    run: HasModel | Model | str | Path,
    records: str | Path | Table | Iterable[dict],
    out: str | Path | None = None,
    *,
    bad_records: str = "stop",
    quiet: bool = True,
) -> dict[str, Any]:
    """What a trained model, that of a Run, or that of a run's or a checkpoint's folder decides on every record.

    out: a file (.parquet, .csv or .jsonl) that the predictions are written to as they are made, whole or not at all, so
    that memory does not grow with the table. Columns: `key`, `<target>`, `<target>_probability_<label>` (of an answer
    `<target>_probability`), `absent` (names of absent inputs; in CSV with bars between them).
    bad_records: "stop" at a file that cannot be read, or "skip" such records, listed in bad_records.csv beside `out`.
    Prints what was written unless `quiet`. Returns {"out", "records", "set_aside", "bad_records"}, and without `out`
    also "predictions", the rows. Raises UserError for what the user can mend.
    """
    suffix = None if out is None else suffix_of(out)
    model = model_of(run)
    table, bad = model.read(records), []
    count = len(table)
    if bad_records != "stop":
        table, scanned = drop_bad_records(table, scan(table), bad_records)
        bad = scanned.bad
    listed = list_bad_records(bad, out)
    summary = {
        "out": None if out is None else str(out),
        "records": len(table),
        "set_aside": count - len(table),
        "bad_records": listed,
    }
    if out is None:
        return summary | {"predictions": [row for rows in predictions(model, table) for row in rows]}
    with whole_file(Path(out)) as new:
        write_rows(predictions(model, table), predictions_schema(model), new, suffix)
    if not quiet:
        skipped = f"; {counted(count - len(table), 'record')} set aside, {listed} says why" if listed else ""
        print(f"{counted(len(table), 'prediction')} in {out}{skipped}.")
    return summary


def list_bad_records(bad: list[RecordError], out: str | Path | None) -> str | None:
    """Where the bad records are listed: bad_records.csv beside `out`; None where there are none, or no file."""
    if not bad or out is None:
        return None
    path = Path(out).with_name("bad_records.csv")
    write_bad_records(bad, path)
    return str(path)


def suffix_of(out: str | Path) -> str:
    """The ending of a file for predictions. Raises UserError for one that is not written."""
    suffix = Path(out).suffix
    if suffix not in (".parquet", ".csv", ".jsonl"):
        raise UserError(f"--out {out} is of no known kind; end it in .parquet, .csv or .jsonl.")
    return suffix


def write_rows(chunks: Iterable[list[dict[str, Any]]], schema: pa.Schema, path: Path, suffix: str) -> None:
    """Writes rows of `schema` to `path`, each chunk as it comes; in CSV the members of a list have bars between."""
    writer = None
    with open(path, "wb") as file:
        for chunk in chunks:
            rows = pa.Table.from_pylist(chunk, schema)
            if suffix == ".jsonl":
                file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows.to_pylist())
                continue
            if suffix == ".csv":
                rows = _flat(rows)
            if writer is None:
                kind = pyarrow.csv.CSVWriter if suffix == ".csv" else pyarrow.parquet.ParquetWriter
                writer = kind(file, rows.schema)
            writer.write_table(rows)
        if writer is not None:
            writer.close()


def predictions(model: Model, table: Table) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table of predictions, a list for each thousands of records: `key`, `absent` (names of absent
    inputs), and of each target its decision and probabilities.
    """
    for start in range(0, len(table), CHUNK):
        records = table.take(range(start, min(start + CHUNK, len(table))))
        yield [_row(model, key, predicted) for key, predicted in zip(records.keys, model.predict(records), strict=True)]


def _row(model: Model, key: str, predicted: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"key": key, "absent": predicted["absent"]}
    for target in model.schema.targets:
        row |= TARGET_COLUMNS[target.kind].row(target.name, predicted[target.name])
    return row


def predictions_schema(model: Model) -> pa.Schema:
    """The columns of a table of predictions."""
    targets = [field for target in model.schema.targets for field in TARGET_COLUMNS[target.kind].fields(target)]
    return pa.schema([pa.field("key", pa.string()), *targets, pa.field("absent", pa.list_(pa.string()))])


def _flat(rows: pa.Table) -> pa.Table:
    """Lists as one string, their members joined with a bar."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            joined = pa.array(["|".join(map(str, value)) for value in rows.column(index).to_pylist()], pa.string())
            rows = rows.set_column(index, field.name, joined)
    return rows
