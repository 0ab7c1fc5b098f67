"""A table of a data set's records written as a file that every verb reads."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from sensorium.errors import UserError
from sensorium.files import whole_file


def write(frame: pd.DataFrame, out: str | Path) -> None:
    """Writes the frame that `table` or `dialogues` gives as CSV, TSV, JSONL or Parquet, by the ending of `out`, whole
    or not at all. The paths of files, in the columns of `attrs["paths"]`, then start from the folder of `out`; in
    formats of text, a list is JSON. Raises UserError."""
    out = Path(out)
    if out.suffix.lower() not in WRITERS:
        raise UserError(f"{out} has the extension '{out.suffix}', which is not one of {', '.join(WRITERS)}; rename it.")
    folder = out.parent.absolute()
    relative_paths = {
        name: [os.path.relpath(cell, folder) if _is_file(cell) else cell for cell in frame[name]]
        for name in frame.attrs["paths"]
    }
    with whole_file(out) as temporary:
        WRITERS[out.suffix.lower()](frame.assign(**relative_paths), temporary)


def _is_file(cell: Any) -> bool:
    return isinstance(cell, str) and bool(cell) and os.path.isfile(cell)


def _delimited_writer(delimiter: str) -> Callable[[pd.DataFrame, Path], None]:
    def write_delimited(frame: pd.DataFrame, path: Path) -> None:
        list_columns = {
            name: [json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell for cell in frame[name]]
            for name in frame.columns
            if frame[name].map(lambda cell: isinstance(cell, list)).any()
        }
        frame.assign(**list_columns).to_csv(path, sep=delimiter, index=False)

    return write_delimited


def _write_jsonl(frame: pd.DataFrame, path: Path) -> None:
    frame.to_json(path, orient="records", lines=True, force_ascii=False)


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)


WRITERS = {
    ".csv": _delimited_writer(","),
    ".tsv": _delimited_writer("\t"),
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
