"""Records of one input from a folder of files, a pattern, one file, or a table."""

import glob
import re
from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.data.media.extensions import ENDINGS
from sensorium.data.read import read
from sensorium.data.schema import InputSpec, Schema
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources.tables import is_table
from sensorium.data.table import Table
from sensorium.errors import UserError

_PLURALS = {"image": "pictures", "audio": "sounds", "video": "films"}


def collect_files(source: Any, schema: Schema, name: str) -> Table:
    """The records of `source` with the input `name` of `schema`.

    A folder gives every file in it, however deep, with the ending of an image (audio, video); a pattern or a path the
    files it names; their paths are the records' keys. A table (a Table, a file or what else `read` takes as one), or
    a folder that Datasets saved, has the input's column.
    Raises UserError for a source that does not exist, has no such file, or lacks the column."""
    spec = next(spec for spec in schema.inputs if spec.name == name)
    column = spec.columns[0]
    if isinstance(source, Table):
        return _check_column(read(source.frame, schema=schema, root=source.root, rows=source.rows), column)
    if not isinstance(source, str | Path):
        return _check_column(read(source, schema=schema), column)
    path = Path(source)
    if is_table(path) or path.suffix.lower() == ".tar" or (path.is_dir() and arrow_folder.is_dataset_folder(path)):
        return _check_column(read(str(source), schema=schema), column)
    endings = _endings(spec, path)
    if path.is_dir():
        paths = sorted(file for file in path.rglob("*") if _has_ending(file.relative_to(path), endings))
        root, files = path, [file.relative_to(path).as_posix() for file in paths if file.is_file()]
    else:
        root, files = Path.cwd(), [str(path)] if path.exists() else _match_pattern(str(source), endings)
    if not files:
        plural = _PLURALS[_modality(spec)]
        raise UserError(f"There are no {plural} in {source}; a file's name should end in {', '.join(endings)}.")
    table = read(pd.DataFrame({column: files}), schema=schema, root=root)
    keyed_schema = schema.model_copy(update={"key": column, "group": None})
    return Table(table.frame, keyed_schema, root, table.rows, str(source))


def _check_column(table: Table, column: str) -> Table:
    """`table`. Raises UserError when it lacks the column."""
    if column not in table.frame.columns:
        columns = ", ".join(map(str, table.frame.columns))
        raise UserError(f"{table.source} has no column '{column}', which is what the model reads; it has {columns}.")
    return table


def _match_pattern(pattern: str, endings: tuple[str, ...]) -> list[str]:
    """The files that a pattern names; those with other endings are left out."""
    if not re.search(r"[*?\[]", pattern):
        raise UserError(f"There is no file or folder {pattern}; check the path.")
    return sorted(file for file in glob.glob(pattern, recursive=True) if _has_ending(Path(file), endings))


def _has_ending(path: Path, endings: tuple[str, ...]) -> bool:
    """Whether a file that is not hidden has one of the endings."""
    hidden = any(name.startswith(".") and name not in (".", "..") for name in path.parts)
    return not hidden and path.suffix[1:].lower() in endings


def _modality(spec: InputSpec) -> str:
    """The modality of the files that an input reads: its audio may be in videos."""
    return "video" if spec.part == "sound" else spec.modality


def _endings(spec: InputSpec, path: Path) -> tuple[str, ...]:
    if _modality(spec) not in ENDINGS:
        raise UserError(
            f"The input '{spec.name}' is of the kind {spec.modality}, which lies in tables; give a table with the"
            f" column '{spec.columns[0]}' instead of {path}."
        )
    return ENDINGS[_modality(spec)]
