"""Tar shards of records, as WebDataset writes them: their headers are gone through once, then any record can be read.

Members of one shard that share a name up to the first dot of their file name are one record; what follows that dot says
what the member is. `17.photo.jpg` is the picture `photo` of record 17, `17.jpg` its picture `image`, `17.json` as many
columns as it has fields. What a record lacks is absent, wherever in the shards a column first appears.
"""

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
from sensorium.data.columns.infer import ARRAYS, ENDINGS
from sensorium.data.media.content import slice_of
from sensorium.data.sources.frame_builder import FrameBuilder
from sensorium.errors import UserError

KEY = "__key__"
LARGEST_TEXT = 2**24  # bytes of a member that becomes a cell

_NAME = re.compile(r"(?:\./)?((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)  # WebDataset's rule
_TEXTS = {"txt": "text", "text": "text", "transcript": "transcript"}
_NAMES = ("cls", "cls2", "id", "index", "inx")
# By ending, the column of a file that names none.
_FIELD_OF = {end: kind for kind, ends in ENDINGS.items() for end in ends} | {end: end for end in ARRAYS}
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"(\xb5/\xfd": "unzstd"}


class Shards(NamedTuple):
    """The records of tar shards.

    `frame` (N rows: the columns, and last `__key__`), `root` (the folder that its paths start from), `count` (of
    shards).
    """

    frame: pd.DataFrame
    root: Path
    count: int


def find(source: str) -> list[Path] | None:
    """The files that a pattern names, in order: `{0000..0009}`, `{a,b}`, `*`, `?`, `[0-9]`; None when it is no pattern.

    Raises UserError when there is no such file, or one that is no tar file.
    """
    if os.path.exists(source) or not re.search(r"[*?\[{]", source):
        return None
    found: list[Path] = []
    for one in braces(source):
        files = sorted(map(Path, glob.glob(one))) if re.search(r"[*?\[]", one) else [Path(one)]
        if not files or not files[0].exists():
            raise UserError(f"There is no file {one}; check the pattern, and put it in quotes.")
        found += files
    other = next((file for file in found if file.suffix != ".tar"), None)
    if other is not None:
        raise UserError(f"The pattern {source} names {other}, and only tar shards (.tar) are read by a pattern.")
    return list(dict.fromkeys(found))


def braces(pattern: str) -> Iterator[str]:
    """What a pattern stands for: each number of `{0000..0009}`, with its zeros, and each word of `{a,b}`."""
    match = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}", pattern)
    if match is None:
        yield pattern
        return
    first, last, words = match.groups()
    width = max(len(first), len(last)) if words is None and first.startswith("0") else 0
    one_by_one = words.split(",") if words is not None else (f"{n:0{width}}" for n in range(int(first), int(last) + 1))
    for word in one_by_one:
        yield from braces(pattern[: match.start()] + word + pattern[match.end() :])


def index(paths: list[Path]) -> Shards:
    """Goes through the headers of the shards and reads their small texts; pictures, sounds and films stay where they
    are, as paths into the shard.

    Raises UserError for a shard that is compressed, cut short or damaged, and for a record with two files for one
    column. Warns of members that belong to no record.
    """
    root = Path(os.path.commonpath([path.parent.absolute() for path in paths]))
    root = Path(os.path.relpath(root)) if not paths[0].is_absolute() else root
    columns, keys, left_out = FrameBuilder(), [], Counter()
    for path in paths:
        records = _records(path, os.path.relpath(path, root), left_out)
        columns.add(list(records.values()))
        keys.append(pa.array(records, pa.large_string()))
    if left_out:
        told = ", ".join(f"{count} {what}" for what, count in left_out.most_common(5))
        warnings.warn(
            f"Files of {_several(paths)} that no input reads are left out: {told}.", UserWarning, stacklevel=4
        )
    named = _distinct(keys, [os.path.relpath(path.with_suffix(""), root) for path in paths])
    frame = columns.frame()
    frame[KEY] = strings.series(named)
    return Shards(frame, root, len(paths))


def shard_summary(shards: int, records: int, processes: int, workers: int) -> str:
    """The sentence on how the records of `shards` tar files reach the processes and their workers."""
    readers = processes * max(1, workers)
    who = f"{processes} process{'es' if processes > 1 else ''}" + (
        f" with {workers} worker{'s' if workers > 1 else ''}" + (" each" if processes > 1 else "") if workers else ""
    )
    few = (
        f"; that there are fewer shards than the {readers} readers costs nothing, as no shard belongs to a reader"
        if shards < readers
        else ""
    )
    return (
        f"{_count(shards, 'shard')} with {records} records: {who} read single records out of any shard, each record"
        f" once an epoch{few}."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _several(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} shards"


def _distinct(keys: list[pa.Array], shards: list[str]) -> pa.ChunkedArray:
    """The records' names; with the shard's in front when two shards have records of one name."""
    named = pa.chunked_array(keys, pa.large_string())
    if pc.count_distinct(named).as_py() == len(named):
        return named
    kind = pa.large_string()
    joined = [
        pc.binary_join_element_wise(pa.scalar(shard, kind), one, pa.scalar("/", kind))
        for shard, one in zip(shards, keys, strict=True)
    ]
    return pa.chunked_array(joined, kind)


def _records(path: Path, name: str, left_out: Counter) -> dict[str, dict[str, Any]]:
    """By key, the cells of each record of a shard, by column. `left_out` counts the members that make no cell."""
    records: dict[str, dict[str, Any]] = {}
    for member, file in _members(path):
        split = _NAME.fullmatch(member.name)
        if split is None or not member.isreg() or member.issparse():
            if not (member.isdir() or Path(member.name).name.startswith((".", "__"))):
                left_out["without an ending"] += 1
            continue
        key, (field, _, ending) = split[1], split[2].rpartition(".")
        cells = _cells(path, name, member, file, field, ending.lower())
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


def _cells(
    path: Path, name: str, member: tarfile.TarInfo, file: BinaryIO, field: str, ending: str
) -> dict[str, Any] | None:
    """What a member says, by column; None when it says nothing that is read."""
    if ending in _FIELD_OF:
        reference = slice_of(name, member.offset_data, member.size, member.name)
        return {field or _FIELD_OF[ending]: reference}
    if ending not in _TEXTS and ending not in _NAMES and ending != "json":
        return None
    text = _text(path, member, file)
    if ending in _TEXTS:
        return {field or _TEXTS[ending]: text.rstrip("\r\n")}
    if ending in _NAMES:
        return {field or ending: text.strip()}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(f"{member.name} in {path} is not JSON ({error}); write that shard again.") from None
    if not isinstance(value, dict):
        return {field or ending: value}
    return {f"{field}.{key}" if field else key: one for key, one in value.items() if key != KEY}


def _text(path: Path, member: tarfile.TarInfo, file: BinaryIO) -> str:
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
    """Each member of a plain tar file with the open file. Raises UserError unless the file is whole."""
    with open(path, "rb") as file:
        start = file.read(6)
        packer = next((unpack for magic, unpack in _COMPRESSED.items() if start.startswith(magic)), None)
        if packer:
            raise UserError(
                f"{path} is compressed, so that its records cannot be read one by one; unpack it first, with {packer}."
            )
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # it would keep all of them
                    yield member, file
                end = tar.offset
        except tarfile.TarError as error:
            raise UserError(f"{path} is not a whole tar file ({error}); bring a whole copy of it.") from None
        _check_end(path, file, end)


def _check_end(path: Path, file: BinaryIO, end: int) -> None:
    """A tar file ends with blocks of zeros; the library takes any other end, or a damaged header, for that."""
    file.seek(end)
    mark = file.read(tarfile.BLOCKSIZE)
    if mark != bytes(tarfile.BLOCKSIZE):
        raise UserError(
            f"{path} is {'damaged' if len(mark) == tarfile.BLOCKSIZE else 'cut short'} at byte {end:,}, after whole"
            " members; bring a whole copy of it."
        )
    while block := file.read(1 << 20):
        if block.count(0) != len(block):
            raise UserError(
                f"{path} goes on after its end mark at byte {end:,}, as two tar files joined do, and what follows would"
                " be lost; write it again as one."
            )
