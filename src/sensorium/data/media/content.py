"""Raw values of a record: the content a path names, its hash, and how a message shows it."""

import hashlib
import os
import re
import stat
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

LARGEST_FILE = 2**30

_SLICE = re.compile(r"(?P<file>.+\.(?P<kind>tar|arrow))#(?P<start>\d+):(?P<size>\d+)/(?P<name>.+)", re.DOTALL)


def opened(value: Any, root: Path) -> Any:
    """The bytes of the file that `value` names, a path relative to `root` or absolute; bytes and decoded values as is.

    A path may also name a slice of a .tar or .arrow file (`slice_of`): then those bytes alone are read.
    A dictionary with `bytes` or `path`, as tables of media made by Datasets hold, counts as whichever it has. Nothing
    is fetched from a network. Raises ValueError when there is no such file, or it is empty, larger than a gibibyte,
    or not a file at all.
    """
    if _is_medium(value):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str | os.PathLike):
        value = _read(os.fspath(value), root)
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if isinstance(value, bytes) and not value:
        raise ValueError("it is empty")
    return value


def _is_medium(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= {"bytes", "path"}


def slice_of(file: str, start: int, size: int, name: str) -> str:
    """The path of what stands within a .tar or .arrow file: `size` bytes from byte `start` on, called `name`."""
    return f"{file}#{start}:{size}/{name}"


def _read(path: str, root: Path) -> bytes:
    if "://" in path:
        raise ValueError("it is an address, and only files are read; fetch it first")
    part = _SLICE.fullmatch(path) if "#" in path else None
    try:
        # Not to wait: opening a named pipe would, until somebody writes to it.
        with open(os.open(Path(root) / (part["file"] if part else path), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is not a file")
            size = int(part["size"]) if part else status.st_size
            if size > LARGEST_FILE:
                raise ValueError(f"the file has {size / 2**30:.1f} GiB, more than the bound of 1 GiB")
            return _read_slice(file, part) if part else file.read()
    except FileNotFoundError as error:
        raise ValueError("there is no such file") from error
    except IsADirectoryError as error:
        raise ValueError("it is a folder, not a file") from error
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror or error})") from error


def _read_slice(file: BinaryIO, part: re.Match[str]) -> bytes:
    """The bytes of a slice. In a tar file its header stands before it, and must still be that of the same member."""
    start, size = int(part["start"]), int(part["size"])
    header = tarfile.BLOCKSIZE if part["kind"] == "tar" else 0
    file.seek(start - header)
    found = file.read(header + size)
    changed = ValueError(f"{part['file']} is no longer the file that it was when it was opened, or is cut short")
    if len(found) != header + size:
        raise changed
    if header:
        try:
            member = tarfile.TarInfo.frombuf(found[:header], "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise changed from error
        # Of a name that is long or not ASCII the header holds only something like it.
        plain = member.name.isascii() and "?" not in member.name and len(part["name"]) < tarfile.LENGTH_NAME
        if member.size != size or (plain and member.name != part["name"]):
            raise changed
    return found[header:]


def content_id(value: Any) -> int:
    """A 64-bit hash (BLAKE2b) of an opened value, as a signed integer; never 0, which stands for an absent one."""
    digest = hashlib.blake2b(digest_size=8)
    _feed(digest, value)
    return int.from_bytes(digest.digest(), "little", signed=True) or 1


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, bytes):
        digest.update(value)
    elif isinstance(value, str):
        digest.update(value.encode())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(value.tobytes())
    elif isinstance(value, Image.Image):
        _feed(digest, np.asarray(value.convert("RGBA")))
    elif isinstance(value, tuple):
        for part in value:
            _feed(digest, part)
    else:
        value = _spelled(value)
        digest.update(repr(sorted(value.items()) if isinstance(value, dict) else value).encode())


def _spelled(value: Any) -> Any:
    """Lists and columns of readings with their arrays as lists: of a long array, `repr` shows only the ends."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {name: _spelled(part) for name, part in value.items()}
    return [_spelled(part) for part in value] if isinstance(value, list | tuple) else value


def shown(value: Any) -> str:
    """`value` as a message shows it: a path or a short text as it stands, bytes and arrays by their size."""
    if isinstance(value, dict) and value.keys() & {"bytes", "path"}:
        value = value.get("path") or value.get("bytes")
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    if isinstance(value, np.ndarray):
        return f"<array {' x '.join(map(str, value.shape))}>"
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
