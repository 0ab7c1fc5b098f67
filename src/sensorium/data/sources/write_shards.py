"""A table written as tar shards: files as they are, all other cells in one JSON a record."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.data.columns.infer import ARRAYS, ENDINGS, Ambiguous, guess_input
from sensorium.data.columns.parse import is_missing
from sensorium.data.media.content import opened, shown
from sensorium.data.sources import shards
from sensorium.data.sources.tables import load
from sensorium.errors import UserError, needs
from sensorium.files import whole_folder

DIGITS = 6  # of a shard's name
_FILES = ENDINGS | {"film": ENDINGS["video"], "series": ARRAYS, "points": ARRAYS}
# Of bytes without a name: decoders look at the bytes, whatever the ending.
_OF_BYTES = {"image": "jpg", "audio": "wav", "video": "mp4", "film": "mp4", "series": "npy", "points": "npy"}


def pack(
    source: Any,
    out: str | Path,
    columns: dict[str, str] | None = None,
    records: int = 1000,
    seed: int | None = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a table as tar shards `out`/000000.tar, 000001.tar, ... of `records` records each, whole or not at all.

    `source` and `columns` (kinds that are stated) are as in `read`. The files of picture, sound and film columns go in
    byte for byte; a record is named by its row, and holds all other cells in its .json. The order is a random one of
    `seed`, that of the table when it is None. Returns {"out", "shards", "records"}. Raises UserError, and RecordError
    for a file that cannot be read.
    """
    try:
        from webdataset import TarWriter
    except ImportError as error:
        raise needs("webdataset", "shards") from error
    frame, root, name, kinds, _ = load(source)
    out = Path(out)
    if records < 1:
        raise UserError(f"--records is {records}, but a shard has at least one record; 1000 is usual.")
    _check_place(out, overwrite)
    frame = frame.drop(columns=shards.KEY, errors="ignore")
    media = _media(frame, name, columns or {}, {column: guess.kind for column, guess in kinds.items()})
    order = np.arange(len(frame)) if seed is None else np.random.default_rng(seed).permutation(len(frame))
    with whole_folder(out) as new:
        for number, start in enumerate(range(0, len(order), records)):
            with open(new / f"{number:0{DIGITS}}.tar", "wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
                for sample in _samples(frame, order[start : start + records], media, root):
                    tar.write(sample)
    return {"out": str(out), "shards": number + 1, "records": len(frame)}


def _check_place(out: Path, overwrite: bool) -> None:
    """Only shards may be written over."""
    held = sorted(out.iterdir()) if out.is_dir() else []
    other = next((one for one in held if one.suffix != ".tar"), None)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, and shards are written into a folder; choose another.")
    if other is not None:
        raise UserError(f"{out} holds other things than shards, such as {other.name}; choose a folder of their own.")
    if held and not overwrite:
        raise UserError(
            f"{out} holds shards already ({len(held)}); add --overwrite to replace them, or choose another."
        )


def _media(frame: Any, name: str, stated: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """By column, the kind of those that hold files. Raises UserError for one that may do, and may not."""
    unknown_columns = [column for column in stated if column not in frame.columns]
    if unknown_columns:
        raise UserError(f"{name}: There is no column '{unknown_columns[0]}'; state the kind of one that is there.")
    kinds = {column: stated.get(column) or known.get(column) or _guess(frame, name, column) for column in frame.columns}
    media = {column: kind for column, kind in kinds.items() if kind in _FILES}
    odd = next((column for column in media if "/" in column or column.startswith("_")), None)
    if odd is not None:
        raise UserError(
            f"Column '{odd}' of {name} cannot name a file in a shard, as it has a slash or begins with _; rename it."
        )
    return media


def _guess(frame: Any, name: str, column: str) -> str:
    try:
        return guess_input(frame[column].to_numpy()).kind
    except Ambiguous as error:
        if not set(error.kinds) & _FILES.keys():
            return "ignored"
        raise UserError(
            f"Column '{column}' of {name} is ambiguous: {error.reason}; state what it is with --column"
            f" '{column}={error.kinds[0]}' (or {', '.join(error.kinds[1:])})."
        ) from None


def _samples(frame: Any, rows: np.ndarray, media: dict[str, str], root: Path) -> Iterator[dict[str, Any]]:
    """The records `rows` as the members that make each: by ending, bytes."""
    part = frame.iloc[rows]
    cells = {column: part[column].to_numpy() for column in part.columns}
    gone = {column: is_missing(values) for column, values in cells.items()}
    for place, row in enumerate(rows):
        sample: dict[str, Any] = {"__key__": str(row + 1)}
        plain = {}
        for column, values in cells.items():
            value = None if gone[column][place] else values[place]
            plain[column] = None  # keeps the order of the columns, also where a file says what it is
            if value is None:
                continue
            if column in media and not isinstance(value, list | dict):
                ending, data = _file(value, int(row), column, media[column], root)
                sample[f"{column}.{ending}"] = data
            else:
                plain[column] = _written(value, int(row), column)
        sample["json"] = json.dumps(plain, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
        yield sample


def _written(value: Any, row: int, column: str) -> Any:
    """A cell as JSON can hold it; a date as text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple | set):
        value = list(value)
    if isinstance(value, bytes):
        raise _bad(row, column, value, "bytes go into a shard only as a picture, a sound or a film")
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def _file(value: Any, row: int, column: str, kind: str, root: Path) -> tuple[str, bytes]:
    """The ending and the bytes of a cell's file."""
    try:
        data = opened(value, root)
        if not isinstance(data, bytes):
            raise ValueError("it is decoded already, and files go into a shard as they are; save it as a file")
    except ValueError as error:
        raise _bad(row, column, value, str(error)) from error
    ending = Path(value).suffix[1:].lower() if isinstance(value, str) else ""
    return (ending if ending in _FILES[kind] else _OF_BYTES[kind]), data


def _bad(row: int, column: str, value: Any, reason: str) -> UserError:
    return UserError(f"Row {row + 1}, column '{column}', {shown(value)}: {reason}; mend it, or leave the cell empty.")
