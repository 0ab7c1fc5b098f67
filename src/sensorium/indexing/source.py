"""What is to be indexed: a folder of pictures or sounds, a table, or shards, as records with keys."""

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from sensorium.data.media.extensions import ENDINGS
from sensorium.data.sources import arrow as arrow_folder
from sensorium.data.sources.collect_files import collect_files
from sensorium.data.sources.shards import KEY as SHARD_KEY
from sensorium.data.table import Table
from sensorium.errors import UserError, unknown
from sensorium.indexing.stored_columns import infer_types, read_keys
from sensorium.model import Model

FOLDER = "folder"  # the column of an index of files: which folder a file lies in, "." for the top


class Source(NamedTuple):
    """Records to index: `table`, under the model's schema; `input`, which of the model's inputs is embedded; `keys`
    [N]; `key`, the column they come from ("" for paths of files, None for numbers of rows); `columns`, the type of each
    column that is stored; `left_out`, the columns that are not; `name`, of the source in messages and metadata."""

    table: Table
    input: str
    keys: list[str]
    key: str | None
    columns: dict[str, pa.DataType]
    left_out: list[str]
    name: str


def open_source(
    model: Model, records: Table | list[dict] | str | Path, input: str | None = None, key: str | None = None
) -> Source:
    """`records` as what an index is made of: a table's file, shards, a Table or dicts; or a folder, of which every
    picture (or sound, or video) is a record, however deep it lies. Raises UserError when it is not clear which input is
    meant, or keys are absent or stand twice."""
    if input is not None and input not in model.encoders:
        raise unknown("input", input, model.encoders.names)
    if isinstance(records, str | Path) and Path(records).is_dir() and not _is_table(Path(records)):
        return _open_folder(model, Path(records), input, key)
    table = model.read(records)
    name = str(Path(records).absolute()) if isinstance(records, str | Path) else table.source
    if key and key not in table.frame.columns:
        raise UserError(f"{table.source}: {unknown('column', key, table.frame.columns)}")
    candidates = (key, model.schema.key, SHARD_KEY)
    key = next((column for column in candidates if column and column in table.frame.columns), None)
    columns, left_out = infer_types(table, key)
    return Source(table, _choose_input(table, input), read_keys(table, key), key, columns, left_out, name)


def _is_table(folder: Path) -> bool:
    """Whether a folder is one that Datasets saved, or one of tar shards."""
    return arrow_folder.is_dataset_folder(folder) or any(folder.glob("*.tar"))


def _choose_input(table: Table, requested: str | None) -> str:
    """The input to embed: the one that is requested, else the only one that the table has columns for."""
    columns = table.frame.columns
    present = [spec.name for spec in table.schema.inputs if any(column in columns for column in spec.columns)]
    if requested is not None:
        if requested not in present:
            raise UserError(f"{table.source} has no column for the input '{requested}'; it has {', '.join(present)}.")
        return requested
    if len(present) > 1:
        raise UserError(
            f"{table.source} has several of the model's inputs ({', '.join(present)}); say which one to index with"
            f" --input {present[0]}."
        )
    return present[0]


def _open_folder(model: Model, folder: Path, input: str | None, key: str | None) -> Source:
    """Every file below `folder` of the kind that the input reads, by its path."""
    if key:
        raise UserError(f"{folder} is a folder of files, which their paths name; leave out --key {key}.")
    name = input or _choose_file_input(model, folder)
    table = collect_files(folder, model.schema, name)
    column = table.schema.key
    folders = [path.rpartition("/")[0] or "." for path in table.keys]
    table = Table(table.frame.assign(**{FOLDER: folders}), table.schema, table.root, table.rows, table.source)
    columns = {FOLDER: pa.string()} if column != FOLDER else {}
    return Source(table, name, table.keys, "", columns, [], str(folder.absolute()))


def _choose_file_input(model: Model, folder: Path) -> str:
    """The only input that reads files, else the only one that `folder` holds files for."""
    specs = [spec for spec in model.schema.inputs if spec.modality in ENDINGS and spec.part is None]
    if len(specs) == 1:
        return specs[0].name
    if not specs:
        names = ", ".join(model.encoders.names)
        raise UserError(f"The model reads no files ({names}); give a table instead of {folder}.")
    endings = {path.suffix[1:].lower() for path in folder.rglob("*")}
    present = [spec.name for spec in model.schema.inputs if endings & set(ENDINGS.get(spec.modality, ()))]
    if len(present) == 1:
        return present[0]
    raise UserError(
        f"{folder} holds files for {'several' if present else 'none'} of the model's inputs"
        f" ({', '.join(spec.name for spec in specs)}); say which one to index with --input {specs[0].name}."
    )
