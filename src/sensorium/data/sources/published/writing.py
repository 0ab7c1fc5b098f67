"""A table of a data set's records written as a file that every verb reads."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from sensorium.data.sources.published.formats import SIDES
from sensorium.errors import UserError
from sensorium.files import whole_file


def write(frame: pd.DataFrame, out: str | Path) -> None:
    """Writes what `table` gave as CSV, TSV, JSONL or Parquet, by the ending of `out`, whole or not at all.

    The pictures' paths start from the folder of `out`; a list is JSON where a cell holds text only. Raises UserError.
    """
    out = Path(out)
    if out.suffix.lower() not in WRITERS:
        raise UserError(f"{out} has the extension '{out.suffix}', which is not one of {', '.join(WRITERS)}; rename it.")
    start = out.parent.absolute()
    pictures = [name for name in ("photo", *SIDES) if name in frame]
    moved = {name: [os.path.relpath(path, start) for path in frame[name]] for name in pictures}
    with whole_file(out) as new:
        WRITERS[out.suffix.lower()](frame.assign(**moved), new)


def _separated(mark: str) -> Callable[[pd.DataFrame, Path], None]:
    def write_text(frame: pd.DataFrame, path: Path) -> None:
        lists = {
            name: [json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell for cell in frame[name]]
            for name in frame.columns
            if frame[name].map(lambda cell: isinstance(cell, list)).any()
        }
        frame.assign(**lists).to_csv(path, sep=mark, index=False)

    return write_text


def _lines(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True, force_ascii=False)


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)


WRITERS = {".csv": _separated(","), ".tsv": _separated("\t"), ".jsonl": _lines, ".parquet": _parquet}
