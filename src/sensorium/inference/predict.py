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
from sensorium.errors import UserError
from sensorium.files import whole_file
from sensorium.model import Model, load

CHUNK = 4096


def predict_file(run: str | Path, source: str | Path, out: str | Path, bad_records: str = "stop") -> dict[str, Any]:
    """Writes the predictions of `source` to `out` (.parquet, .csv or .jsonl), whole or not at all.

    Columns: `key`, `<target>`, `<target>_probability_<label>` (of an answer `<target>_probability`), `absent` (names of
    absent inputs; in CSV with bars between them).
    Records set aside are listed in bad_records.csv beside `out`.
    Returns {"out", "records", "set_aside", "bad_records"}. Raises UserError for what the user can mend.
    """
    out, suffix = Path(out), suffix_of(out)
    model = load(run)
    table = model.read(source)
    given, bad = len(table), []
    if bad_records != "stop":
        table, found = drop_bad_records(table, scan(table), bad_records)
        bad = found.bad
    with whole_file(out) as new:
        write(_chunks(model, table), _schema(model), new, suffix)
    listed = out.with_name("bad_records.csv") if bad else None
    if listed is not None:
        write_bad_records(bad, listed)
    return {
        "out": str(out),
        "records": len(table),
        "set_aside": given - len(table),
        "bad_records": listed and str(listed),
    }


def suffix_of(out: str | Path) -> str:
    """The ending of a file for predictions. Raises UserError for one that is not written."""
    suffix = Path(out).suffix
    if suffix not in (".parquet", ".csv", ".jsonl"):
        raise UserError(f"--out {out} is of no known kind; end it in .parquet, .csv or .jsonl.")
    return suffix


def write(chunks: Iterable[list[dict[str, Any]]], schema: pa.Schema, path: Path, suffix: str) -> None:
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


def _chunks(model: Model, table: Table) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(table), CHUNK):
        yield _rows(model, table.take(range(start, min(start + CHUNK, len(table)))))


def _rows(model: Model, table: Table) -> list[dict[str, Any]]:
    rows = []
    for key, predicted in zip(table.keys, model.predict(table), strict=True):
        row: dict[str, Any] = {"key": key, "absent": predicted["absent"]}
        for target in model.schema.targets:
            row[target.name] = predicted[target.name]["decision"]
            for label, value in predicted[target.name].get("probabilities", {}).items():
                row[f"{target.name}_probability_{label}"] = value
            if target.kind == "answer":
                row[f"{target.name}_probability"] = predicted[target.name]["probability"]
        rows.append(row)
    return rows


def _schema(model: Model) -> pa.Schema:
    kinds = {"class": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64(), "answer": pa.string()}
    fields = [pa.field("key", pa.string())]
    for target in model.schema.targets:
        fields.append(pa.field(target.name, kinds[target.kind]))
        if target.kind == "answer":
            fields.append(pa.field(f"{target.name}_probability", pa.float32()))
            continue
        fields += [pa.field(f"{target.name}_probability_{label}", pa.float32()) for label in target.labels]
    return pa.schema([*fields, pa.field("absent", pa.list_(pa.string()))])


def _flat(rows: pa.Table) -> pa.Table:
    """Lists as one string, their members joined with a bar."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            joined = pa.array(["|".join(map(str, value)) for value in rows.column(index).to_pylist()], pa.string())
            rows = rows.set_column(index, field.name, joined)
    return rows
