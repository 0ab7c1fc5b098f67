"""Tar shards of records, as WebDataset writes them: their headers are read once, then any record can be read.

Members of one shard that share a name up to the first dot of their file name are one record; the text after that dot
says what the member is. `17.photo.jpg` is the image `photo` of record 17, `17.jpg` its image `image`, `17.json` as many
columns as it has fields. A column that a record lacks is absent there, wherever in the shards it first appears."""

import glob
import json
import os
import re
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sensorium.data import strings
from sensorium.data.media.content import slice_path
from sensorium.data.media.extensions import ARRAYS, ENDINGS
from sensorium.data.sources.frame_builder import FrameBuilder
from sensorium.errors import UserError

KEY = "__key__"
LARGEST_TEXT = 2**24  # bytes of a member that becomes a cell

_MEMBER_NAME = re.compile(r"(?:\./)?((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)  # WebDataset's rule
_TEXT_ENDINGS = {"txt": "text", "text": "text", "transcript": "transcript"}
_LABEL_ENDINGS = ("cls", "cls2", "id", "index", "inx")
# By ending, the column of a file that names none.
_COLUMN_OF = {ending: kind for kind, endings in ENDINGS.items() for ending in endings} | {end: end for end in ARRAYS}
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"(\xb5/\xfd": "unzstd"}


class Shards(NamedTuple):
    """Records of `count` tar shards: `frame`, N rows, `__key__` last, and `root`, where its paths start."""

    frame: pd.DataFrame
    root: Path
    count: int


def find_shards(source: str) -> list[Path] | None:
    """The files that a pattern names, in order: `{0000..0009}`, `{a,b}`, `*`, `?`, `[0-9]`; None when it is no pattern.
    Raises UserError when there is no such file, or one that is no tar file."""
    if os.path.exists(source) or not re.search(r"[*?\[{]", source):
        return None
    paths: list[Path] = []
    for pattern in expand_braces(source):
        files = sorted(map(Path, glob.glob(pattern))) if re.search(r"[*?\[]", pattern) else [Path(pattern)]
        if not files or not files[0].exists():
            raise UserError(f"There is no file {pattern}; check the pattern, and put it in quotes.")
        paths += files
    no_shard = next((path for path in paths if path.suffix != ".tar"), None)
    if no_shard is not None:
        raise UserError(f"The pattern {source} names {no_shard}, and only tar shards (.tar) are read by a pattern.")
    return list(dict.fromkeys(paths))


def expand_braces(pattern: str) -> Iterator[str]:
    """The names that a pattern means: each number of `{0000..0009}`, with its zeros, and each word of `{a,b}`."""
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        yield pattern
        return
    first, last, alternatives = match.groups()
    if alternatives is not None:
        words = alternatives.split(",")
    else:
        width = max(len(first), len(last)) if first.startswith("0") else 0
        words = (f"{number:0{width}}" for number in range(int(first), int(last) + 1))
    for word in words:
        yield from expand_braces(pattern[: match.start()] + word + pattern[match.end() :])


def read_shards(paths: list[Path]) -> Shards:
    """Reads the headers of the shards and their small texts; images, audio and videos remain in the files and become
    paths into the shard. Raises UserError for a shard that is compressed, cut short or damaged, and for a record with
    two files for one column. Warns of members that belong to no record."""
    root = Path(os.path.commonpath([path.parent.absolute() for path in paths]))
    root = Path(os.path.relpath(root)) if not paths[0].is_absolute() else root
    builder, keys, left_out = FrameBuilder(), [], Counter()
    for path in paths:
        records = _read_records(path, os.path.relpath(path, root), left_out)
        builder.add_records(list(records.values()))
        keys.append(pa.array(records, pa.large_string()))
    if left_out:
        source = str(paths[0]) if len(paths) == 1 else f"{len(paths)} shards"
        counts = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(5))
        warnings.warn(f"Files of {source} that no input reads are left out: {counts}.", UserWarning, stacklevel=4)
    frame = builder.build()
    names = [os.path.relpath(path.with_suffix(""), root) for path in paths]
    frame[KEY] = strings.to_series(_distinct_keys(keys, names))
    return Shards(frame, root, len(paths))


def shard_summary(shards: int, records: int, processes: int, workers: int) -> str:
    """The sentence on how the records of `shards` tar files reach the processes and their workers."""
    readers = processes * max(1, workers)
    process_text = f"{processes} process{'es' if processes > 1 else ''}"
    if workers:
        process_text += f" with {workers} worker{'s' if workers > 1 else ''}" + (" each" if processes > 1 else "")
    note = f"; that there are fewer shards than the {readers} readers costs nothing, as no shard belongs to a reader"
    return (
        f"{shards} shard{'' if shards == 1 else 's'} with {records} records: {process_text} read single records out of"
        f" any shard, each record once an epoch{note if shards < readers else ''}."
    )


def _distinct_keys(keys: list[pa.Array], shards: list[str]) -> pa.ChunkedArray:
    """The records' keys; with the shard's name in front when two records of several shards have one key."""
    text = pa.large_string()
    joined = pa.chunked_array(keys, text)
    if pc.count_distinct(joined).as_py() == len(joined):
        return joined
    with_shard = [
        pc.binary_join_element_wise(pa.scalar(shard, text), shard_keys, pa.scalar("/", text))
        for shard, shard_keys in zip(shards, keys, strict=True)
    ]
    return pa.chunked_array(with_shard, text)


def _read_records(path: Path, name: str, left_out: Counter) -> dict[str, dict[str, Any]]:
    """By key, the cells of each record of a shard, by column. Counts in `left_out` the members that make no cell."""
    records: dict[str, dict[str, Any]] = {}
    for member, file in _members(path):
        name_match = _MEMBER_NAME.fullmatch(member.name)
        if name_match is None or not member.isreg() or member.issparse():
            if not (member.isdir() or Path(member.name).name.startswith((".", "__"))):
                left_out["without an ending"] += 1
            continue
        key, (field, _, ending) = name_match[1], name_match[2].rpartition(".")
        cells = _read_cells(path, name, member, file, field, ending.lower())
        if cells is None:
            left_out[f"in .{ending}"] += 1
            continue
        record = records.setdefault(key, {})
        for column, value in cells.items():
            if record.get(column) is not None and value is not None:
                raise UserError(
                    f"Record '{key}' of {path} has more than one file for the column '{column}', one of them"
                    f" {member.name}; give each record a name of its own, and each file of a record that of its column,"
                    f" as {key}.left.{ending}."
                )
            record[column] = value if value is not None else record.get(column)
    return records


def _read_cells(
    path: Path, name: str, member: tarfile.TarInfo, file: BinaryIO, field: str, ending: str
) -> dict[str, Any] | None:
    """The cells that a member gives, by column; None when its ending is not read."""
    if ending in _COLUMN_OF:
        reference = slice_path(name, member.offset_data, member.size, member.name)
        return {field or _COLUMN_OF[ending]: reference}
    if ending not in _TEXT_ENDINGS and ending not in _LABEL_ENDINGS and ending != "json":
        return None
    text = _read_text(path, member, file)
    if ending in _TEXT_ENDINGS:
        return {field or _TEXT_ENDINGS[ending]: text.rstrip("\r\n")}
    if ending in _LABEL_ENDINGS:
        return {field or ending: text.strip()}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{member.name} in {path} is not JSON ({error}); write that shard again.") from None
    if not isinstance(value, dict):
        return {field or ending: value}
    return {f"{field}.{key}" if field else key: cell for key, cell in value.items() if key != KEY}


def _read_text(path: Path, member: tarfile.TarInfo, file: BinaryIO) -> str:
    if member.size > LARGEST_TEXT:
        raise UserError(
            f"{member.name} in {path} has {member.size / 2**20:.0f} MiB, more than the bound of"
            f" {LARGEST_TEXT / 2**20:.0f} MiB for a text; leave it out of the shard."
        )
    file.seek(member.offset_data)
    data = file.read(member.size)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{member.name} in {path} is not UTF-8 text; write that shard again.") from None


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """Yields each member of a plain tar file with the open file. Raises UserError when the file is not complete."""
    with open(path, "rb") as file:
        start = file.read(6)
        unpack = next((command for magic, command in _COMPRESSED.items() if start.startswith(magic)), None)
        if unpack:
            raise UserError(
                f"{path} is compressed, so that its records cannot be read one by one; unpack it first, with {unpack}."
            )
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # the library would hold all of them in memory
                    yield member, file
                end = tar.offset
        except tarfile.TarError as error:
            raise UserError(f"{path} is not a whole tar file ({error}); bring a whole copy of it.") from None
        _check_end(path, file, end)


def _check_end(path: Path, file: BinaryIO, end: int) -> None:
    """Raises UserError unless the file ends with blocks of zeros; tarfile accepts other ends and damaged headers."""
    file.seek(end)
    last_block = file.read(tarfile.BLOCKSIZE)
    if last_block != bytes(tarfile.BLOCKSIZE):
        fault = "damaged" if len(last_block) == tarfile.BLOCKSIZE else "cut short"
        raise UserError(f"{path} is {fault} at byte {end:,}, after whole members; bring a whole copy of it.")
    while block := file.read(1 << 20):
        if block.count(0) != len(block):
            raise UserError(
                f"{path} goes on after its end mark at byte {end:,}, as two tar files joined do, and what follows would"
                " be lost; write it again as one."
            )
