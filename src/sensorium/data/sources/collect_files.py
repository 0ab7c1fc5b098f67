"""Records of one input from what lies at hand: a folder of files, a pattern, one file, or a table."""

import glob
import re
from pathlib import Path

import pandas as pd

from sensorium.data.columns.infer import ENDINGS
from sensorium.data.read import read
from sensorium.data.schema import InputSpec, Schema
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources.tables import READERS
from sensorium.data.table import Table
from sensorium.errors import UserError

_NAMES = {"image": "pictures", "audio": "sounds", "video": "films"}


def collect_files(source: str | Path, schema: Schema, name: str) -> Table:
    """The records of `source` with the input `name` of `schema`.

    A folder gives every file in it, however deep, that its name says is a picture (sound, film); a pattern or a path
    the files it names; their paths are the records' keys. A table, or a folder that Datasets saved, has the input's
    column. Raises UserError for what is not there, has no such file, or lacks the column.
    """
    spec = next(one for one in schema.inputs if one.name == name)
    path, column = Path(source), spec.columns[0]
    if path.suffix.lower() in (*READERS, ".tar") or (path.is_dir() and arrow_folder.is_saved(path)):
        table = read(str(source), schema=schema)
        if column not in table.frame.columns:
            known = ", ".join(map(str, table.frame.columns))
            raise UserError(f"{source} has no column '{column}', which is what the model reads; it has {known}.")
        return table
    endings = _endings(spec, path)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if _is_medium(file.relative_to(path), endings))
        root, files = path, [file.relative_to(path).as_posix() for file in found if file.is_file()]
    else:
        root, files = Path.cwd(), [str(path)] if path.exists() else _named(str(source), endings)
    if not files:
        known = ", ".join(endings)
        raise UserError(f"There are no {_NAMES[_modality(spec)]} in {source}; a file's name should end in {known}.")
    return _table(files, root, column, schema, str(source))


def _table(files: list[str], root: Path, column: str, schema: Schema, source: str) -> Table:
    table = read(pd.DataFrame({column: files}), schema=schema, root=root)
    keyed = schema.model_copy(update={"key": column, "group": None})
    return Table(table.frame, keyed, root, table.rows, source)


def _named(pattern: str, endings: tuple[str, ...]) -> list[str]:
    """The files that a pattern names; those of another kind, which it may name too, are left out."""
    if not re.search(r"[*?\[]", pattern):
        raise UserError(f"There is no file or folder {pattern}; check the path.")
    return sorted(file for file in glob.glob(pattern, recursive=True) if _is_medium(Path(file), endings))


def _is_medium(path: Path, endings: tuple[str, ...]) -> bool:
    hidden = any(part.startswith(".") and part not in (".", "..") for part in path.parts)
    return not hidden and path.suffix[1:].lower() in endings


def _modality(spec: InputSpec) -> str:
    return "video" if spec.part == "sound" else spec.modality


def _endings(spec: InputSpec, path: Path) -> tuple[str, ...]:
    if _modality(spec) not in ENDINGS:
        raise UserError(
            f"The input '{spec.name}' is of the kind {spec.modality}, which lies in tables; give a table with the"
            f" column '{spec.columns[0]}' instead of {path}."
        )
    return ENDINGS[_modality(spec)]
