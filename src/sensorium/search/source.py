"""What is to be indexed: a folder of pictures or sounds, a table, or shards, as records with names."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data import arrow_folder
from sensorium.data.guess import ENDINGS
from sensorium.data.shards import KEY as SHARD_KEY
from sensorium.data.table import Table
from sensorium.errors import UserError, unknown
from sensorium.model import Model
from sensorium.search import kept

FOLDER = "folder"  # the column of an index of files: which folder a file lies in, "." for the top


class Source(NamedTuple):
    """Records to index: `table`, under the model's schema; `input`, which one of the model's is embedded; `keys` [N];
    `key`, the column they come from ("" for paths of files, None for numbers of rows); `columns`, what each column that
    is kept is kept as; `left_out`, the columns that are not; `name`, of the source in messages and metadata.
    """

    table: Table
    input: str
    keys: list[str]
    key: str | None
    columns: dict[str, pa.DataType]
    left_out: list[str]
    name: str


def source_of(
    model: Model, records: Table | list[dict] | str | Path, input: str | None = None, key: str | None = None
) -> Source:
    """`records` as what an index is made of: a table's file, shards, a Table or dicts; or a folder, in which every
    picture (or sound, or film) is found, however deep.

    Raises UserError when it is not clear which input is meant, or keys are absent or stand twice.
    """
    if input is not None and input not in model.encoders:
        raise unknown("input", input, model.encoders.names)
    if isinstance(records, str | Path) and Path(records).is_dir() and not _is_table(Path(records)):
        return _files(model, Path(records), input, key)
    table = model.read(records)
    name = str(Path(records).absolute()) if isinstance(records, str | Path) else table.source
    for stated in [key] if key else []:
        if stated not in table.frame.columns:
            raise UserError(f"{table.source}: {unknown('column', stated, table.frame.columns)}")
    known = (key, model.schema.key, SHARD_KEY)
    key = next((column for column in known if column and column in table.frame.columns), None)
    columns, left_out = kept.kinds(table, key)
    return Source(table, _input(model, table, input), kept.keys(table, key), key, columns, left_out, name)


def _is_table(folder: Path) -> bool:
    """Whether a folder is one that Datasets saved, or one of tar shards."""
    return arrow_folder.is_saved(folder) or any(folder.glob("*.tar"))


def _input(model: Model, table: Table, stated: str | None) -> str:
    there = [spec.name for spec in table.schema.inputs if any(column in table.frame.columns for column in spec.columns)]
    if stated is not None:
        if stated not in there:
            raise UserError(f"{table.source} has no column for the input '{stated}'; it has {', '.join(there)}.")
        return stated
    if len(there) > 1:
        raise UserError(
            f"{table.source} has several of the model's inputs ({', '.join(there)}); say which one to index with"
            f" --input {there[0]}."
        )
    return there[0]


def _files(model: Model, folder: Path, stated: str | None, key: str | None) -> Source:
    """Every file below `folder` of the kind that the input reads, by its path."""
    if key:
        raise UserError(f"{folder} is a folder of files, which their paths name; leave out --key {key}.")
    name, paths = _found(model, folder, stated)
    (column,) = next(spec.columns for spec in model.schema.inputs if spec.name == name)
    folders = [path.rpartition("/")[0] or "." for path in paths]
    frame = pd.DataFrame({column: pd.Series(paths, dtype=object), FOLDER: pd.Series(folders, dtype=object)})
    table = Table(frame, model.schema, folder, np.arange(1, len(paths) + 1), str(folder))
    columns = {FOLDER: pa.string()} if column != FOLDER else {}
    return Source(table, name, paths, "", columns, [], str(folder.absolute()))


def _found(model: Model, folder: Path, stated: str | None) -> tuple[str, list[str]]:
    """The input, and the paths, sorted, of its files."""
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    read = {spec.name: ENDINGS[spec.modality] for spec in model.schema.inputs if spec.modality in ENDINGS}
    if stated is not None and stated not in read:
        raise UserError(f"The input '{stated}' is not read from files; give a table with a column '{stated}' instead.")
    wanted = {
        name: [path for path in files if path.rpartition(".")[2].lower() in endings]
        for name, endings in read.items()
        if stated in (None, name)
    }
    there = {name: paths for name, paths in wanted.items() if paths}
    if not there:
        endings = ", ".join(f".{ending}" for name in wanted for ending in read[name][:4])
        what = f"that the model reads ({endings}, …)" if wanted else "of a kind that the model reads"
        raise UserError(f"{folder} holds no files {what}; check the path, or give a table's file.")
    if len(there) > 1:
        raise UserError(
            f"{folder} holds files for several of the model's inputs ({', '.join(there)}); say which one to index with"
            f" --input {next(iter(there))}."
        )
    return next(iter(there.items()))
