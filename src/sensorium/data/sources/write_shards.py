"""A table written as tar shards: files byte for byte, all other cells in one JSON a record."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.data.columns.infer import Ambiguous, guess_input
from sensorium.data.columns.parse import is_missing
from sensorium.data.media.content import format_value, read_content
from sensorium.data.media.extensions import DEFAULT_ENDING, FILE_ENDINGS
from sensorium.data.sources import shards
from sensorium.data.sources.tables import read_source
from sensorium.errors import UserError, needs
from sensorium.files import whole_folder, writable

DIGITS = 6  # of a shard's name


def pack(
    source: Any,
    out: str | Path,
    columns: dict[str, str] | None = None,
    records: int = 1000,
    seed: int | None = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a table as tar shards `out`/000000.tar, 000001.tar, ... of `records` records each, whole or not at all.

    `source` and `columns` (kinds that are stated) are as in `read`. The files of image, audio and video columns go in
    byte for byte; a record is named by its row, and holds all other cells in its .json. The order is a random one of
    `seed`, that of the table when it is None. Returns {"out", "shards", "records"}. Raises UserError, also for a file
    that cannot be read."""
    try:
        from webdataset import TarWriter
    except ImportError as error:
        raise needs("webdataset", "shards") from error
    frame, root, name, kinds, *_ = read_source(source)
    out = writable(out)
    if records < 1:
        raise UserError(f"--records is {records}, but a shard has at least one record; 1000 is usual.")
    if seed is not None and seed < 0:
        raise UserError(f"--seed is {seed}, but a number that an order follows from is 0 or more; leave it out for 0.")
    _check_folder(out, overwrite)
    frame = frame.drop(columns=shards.KEY, errors="ignore")
    media = _file_kinds(frame, name, columns or {}, {column: guess.kind for column, guess in kinds.items()})
    order = np.arange(len(frame)) if seed is None else np.random.default_rng(seed).permutation(len(frame))
    with whole_folder(out) as folder:
        for number, start in enumerate(range(0, len(order), records)):
            path = folder / f"{number:0{DIGITS}}.tar"
            with open(path, "wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
                for sample in _samples(frame, order[start : start + records], media, root):
                    tar.write(sample)
    return {"out": str(out), "shards": number + 1, "records": len(frame)}


def _check_folder(out: Path, overwrite: bool) -> None:
    """Raises UserError unless the folder is new or empty, or holds only shards, which `overwrite` replaces."""
    entries = sorted(out.iterdir()) if out.is_dir() else []
    no_shard = next((entry for entry in entries if entry.suffix != ".tar"), None)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, and shards are written into a folder; choose another.")
    if no_shard is not None:
        raise UserError(f"{out} holds other things than shards, such as {no_shard.name}; choose a folder of their own.")
    if entries and not overwrite:
        raise UserError(
            f"{out} holds shards already ({len(entries)}); add --overwrite to replace them, or choose another."
        )


def _file_kinds(frame: Any, name: str, stated_kinds: dict[str, str], source_kinds: dict[str, str]) -> dict[str, str]:
    """By column, the kind of those that hold files: as stated, as the source says, or guessed. Raises UserError."""
    unknown_columns = [column for column in stated_kinds if column not in frame.columns]
    if unknown_columns:
        raise UserError(f"{name}: There is no column '{unknown_columns[0]}'; state the kind of one that is there.")
    kinds = {
        column: stated_kinds.get(column) or source_kinds.get(column) or _guess_kind(frame, name, column)
        for column in frame.columns
    }
    file_kinds = {column: kind for column, kind in kinds.items() if kind in FILE_ENDINGS}
    unusable = next((column for column in file_kinds if "/" in column or column.startswith("_")), None)
    if unusable is not None:
        raise UserError(
            f"Column '{unusable}' of {name} cannot name a file in a shard, as it has a slash or begins with _;"
            " rename it."
        )
    return file_kinds


def _guess_kind(frame: Any, name: str, column: str) -> str:
    try:
        return guess_input(frame[column].to_numpy()).kind
    except Ambiguous as error:
        if not set(error.kinds) & FILE_ENDINGS.keys():
            return "ignored"
        raise UserError(
            f"Column '{column}' of {name} is ambiguous: {error.reason}; state what it is with --column"
            f" '{column}={error.kinds[0]}' (or {', '.join(error.kinds[1:])})."
        ) from None


def _samples(frame: Any, rows: np.ndarray, media: dict[str, str], root: Path) -> Iterator[dict[str, Any]]:
    """The records `rows` as the members of each: by ending, bytes."""
    selected = frame.iloc[rows]
    cells = {column: selected[column].to_numpy() for column in selected.columns}
    missing = {column: is_missing(values) for column, values in cells.items()}
    for index, row in enumerate(rows):
        sample: dict[str, Any] = {"__key__": str(row + 1)}
        json_cells = {}
        for column, values in cells.items():
            value = None if missing[column][index] else values[index]
            json_cells[column] = None  # so that the columns have their order, also those whose cell is a file
            if value is None:
                continue
            if column in media and not isinstance(value, list | dict):
                ending, data = _read_file(value, int(row), column, media[column], root)
                sample[f"{column}.{ending}"] = data
            else:
                json_cells[column] = _to_json_cell(value, int(row), column)
        sample["json"] = json.dumps(json_cells, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
        yield sample


def _to_json_cell(value: Any, row: int, column: str) -> Any:
    """A cell as JSON can hold it; a date as text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | set):
        value = list(value)
    if isinstance(value, bytes):
        raise _cell_error(row, column, value, "bytes go into a shard only as a picture, a sound or a film")
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def _read_file(value: Any, row: int, column: str, kind: str, root: Path) -> tuple[str, bytes]:
    """The ending and the bytes of a cell's file."""
    try:
        data = read_content(value, root)
        if not isinstance(data, bytes):
            raise ValueError("it is decoded already, and files go into a shard as they are; save it as a file")
    except ValueError as error:
        raise _cell_error(row, column, value, str(error)) from error
    ending = Path(value).suffix[1:].lower() if isinstance(value, str) else ""
    return (ending if ending in FILE_ENDINGS[kind] else DEFAULT_ENDING[kind]), data


def _cell_error(row: int, column: str, value: Any, reason: str) -> UserError:
    return UserError(
        f"Row {row + 1}, column '{column}', {format_value(value)}: {reason}; mend it, or leave the cell empty."
    )
