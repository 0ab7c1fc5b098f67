"""Rows of predictions in a file, written as they come."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sensorium.errors import UserError

ENDINGS_OF_TABLES = (".parquet", ".csv", ".jsonl")
Chunks = Iterable[list[dict[str, Any]]]
WriteRows = Callable[[Chunks, pa.Schema, Path, str], None]
"""Chunks of rows, their columns, the file, and the ending that says of which kind it is."""


def suffix_of(out: str | Path, known: tuple[str, ...] = ENDINGS_OF_TABLES, option: str = "--out") -> str:
    """The ending of a file for predictions. Raises UserError for one that is not written."""
    suffix = Path(out).suffix
    if suffix not in known:
        raise UserError(f"{option} {out} is of no known kind; end it in {', '.join(known[:-1])} or {known[-1]}.")
    return suffix


def write_rows(chunks: Chunks, schema: pa.Schema, path: Path, suffix: str) -> None:
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


def _flat(rows: pa.Table) -> pa.Table:
    """Lists as one string, their members joined with a bar."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            joined = pa.array(
                ["|".join(map(str, value or ())) for value in rows.column(index).to_pylist()], pa.string()
            )
            rows = rows.set_column(index, field.name, joined)
    return rows
