"""What is to be indexed: a folder of pictures or sounds, a table, or shards, as records with names."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from sensorium.data.columns.infer import ENDINGS
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources.collect_files import collect_files
from sensorium.data.sources.shards import KEY as SHARD_KEY
from sensorium.data.table import Table
from sensorium.errors import UserError, unknown
from sensorium.indexing import kept
from sensorium.model import Model

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
    return arrow_folder.is_dataset_folder(folder) or any(folder.glob("*.tar"))


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
    name, table = _gathered(model, folder, stated)
    column = table.schema.key
    folders = [path.rpartition("/")[0] or "." for path in table.keys]
    table = Table(table.frame.assign(**{FOLDER: folders}), table.schema, table.root, table.rows, table.source)
    columns = {FOLDER: pa.string()} if column != FOLDER else {}
    return Source(table, name, table.keys, "", columns, [], str(folder.absolute()))


def _gathered(model: Model, folder: Path, stated: str | None) -> tuple[str, Table]:
    """The input, and its files as records that their paths name."""
    names = [spec.name for spec in model.schema.inputs if spec.modality in ENDINGS and spec.part is None]
    if stated is not None or len(names) == 1:
        name = stated or names[0]
        return name, collect_files(folder, model.schema, name)
    if not names:
        raise UserError(
            f"The model reads no files ({', '.join(model.encoders.names)}); give a table instead of {folder}."
        )
    endings = {path.suffix[1:].lower() for path in folder.rglob("*")}
    there = [spec.name for spec in model.schema.inputs if endings & set(ENDINGS.get(spec.modality, ()))]
    if len(there) == 1:
        return there[0], collect_files(folder, model.schema, there[0])
    raise UserError(
        f"{folder} holds files for {'several' if there else 'none'} of the model's inputs ({', '.join(names)});"
        f" say which one to index with --input {names[0]}."
    )
