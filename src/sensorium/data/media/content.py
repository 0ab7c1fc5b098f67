"""Raw values of a record: the content a path names, its hash, and how a message shows it."""

import hashlib
import os
import re
import stat
import tarfile
import unicodedata
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
from PIL import Image

from sensorium.console import shorten
from sensorium.data.media.extensions import decode_inline, inline_medium

LARGEST_FILE = 2**30

_SLICE = re.compile(r"(?P<file>.+\.(?P<kind>tar|arrow))#(?P<start>\d+):(?P<size>\d+)/(?P<name>.+)", re.DOTALL)


def read_content(value: Any, root: Path) -> Any:
    """The bytes of the file that `value` names, a path relative to `root` or absolute; bytes and decoded values as is.

    A path may also name a slice of a .tar or .arrow file (`slice_path`): then those bytes alone are read. It may be a
    `file://` address, and be spelled as another system does: see `_find`. Text may also be the file itself, as a data
    URI or base64.
    A dictionary with `bytes` or `path`, as tables of media made by Datasets hold, counts as whichever it has. Nothing
    is fetched from a network. Raises ValueError when there is no such file, or it is empty, larger than a gibibyte,
    or not a file at all."""
    if isinstance(value, dict) and value and value.keys() <= {"bytes", "path"}:
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        inline = decode_inline(text)
        value = _read_file(text, root) if inline is None else inline
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if isinstance(value, bytes) and not value:
        raise ValueError("it is empty")
    return value


def slice_path(file: str, start: int, size: int, name: str) -> str:
    """The path of `size` bytes within a .tar or .arrow file, from byte `start` on, that are called `name`."""
    return f"{file}#{start}:{size}/{name}"


def _read_file(path: str, root: Path) -> bytes:
    if path.strip().lower().startswith("file:"):
        path = url2pathname(urlsplit(path.strip()).path)
    if "://" in path:
        raise ValueError(
            "it is an address, and only files are read, nothing is downloaded; fetch such files first, for example with"
            " img2dataset"
        )
    slice_match = _SLICE.fullmatch(path) if "#" in path else None
    file_path = _find(slice_match["file"] if slice_match else path, Path(root))
    try:
        # Without O_NONBLOCK, opening a named pipe would wait until somebody writes to it.
        with open(os.open(file_path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is not a file")
            size = int(slice_match["size"]) if slice_match else status.st_size
            if size > LARGEST_FILE:
                raise ValueError(f"the file has {size / 2**30:.1f} GiB, more than the bound of 1 GiB")
            return _read_slice(file, slice_match) if slice_match else file.read()
    except FileNotFoundError as error:
        raise ValueError("there is no such file") from error
    except IsADirectoryError as error:
        raise ValueError("it is a folder, not a file") from error
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror or error})") from error


def _find(path: str, root: Path) -> Path:
    """The file of that name below `root`, or else the one spelled in another way: without blanks around it, with
    `/` for a backslash, a character for its %20, letters and accents in one code point or in two, or the ending in
    capitals or not. The name as it is when there is none of these."""
    if os.path.lexists(root / path):
        return root / path
    spelling = path
    for respell in (str, str.strip, lambda name: name.replace("\\", "/"), unquote):
        spelling = respell(spelling)
        file = root
        for name in Path(spelling).parts:
            stem, ending = os.path.splitext(name)
            names = (name, stem + ending.lower(), stem + ending.upper())
            forms = [unicodedata.normalize(form, each) for each in names for form in ("NFC", "NFD")]
            file = next((file / form for form in (name, *forms) if os.path.lexists(file / form)), file / name)
        if os.path.lexists(file):
            return file
    return root / path


def _read_slice(file: BinaryIO, slice_match: re.Match[str]) -> bytes:
    """The bytes of a slice. In a tar file its header stands before it, and must still be that of the same member."""
    start, size = int(slice_match["start"]), int(slice_match["size"])
    header_size = tarfile.BLOCKSIZE if slice_match["kind"] == "tar" else 0
    file.seek(start - header_size)
    content = file.read(header_size + size)
    changed = ValueError(f"{slice_match['file']} is no longer the file that it was when it was opened, or is cut short")
    if len(content) != header_size + size:
        raise changed
    if header_size:
        try:
            member = tarfile.TarInfo.frombuf(content[:header_size], "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise changed from error
        # The header holds a long name, or one that is not ASCII, only in a shortened form, which is not compared.
        comparable = member.name.isascii() and "?" not in member.name
        comparable = comparable and len(slice_match["name"]) < tarfile.LENGTH_NAME
        if member.size != size or (comparable and member.name != slice_match["name"]):
            raise changed
    return content[header_size:]


def content_id(value: Any) -> int:
    """A 64-bit hash (BLAKE2b) of a value that `read_content` gave, as a signed integer; never 0, which means absent."""
    digest = hashlib.blake2b(digest_size=8)
    _update_digest(digest, value)
    return int.from_bytes(digest.digest(), "little", signed=True) or 1


def _update_digest(digest: Any, value: Any) -> None:
    if isinstance(value, bytes):
        digest.update(value)
    elif isinstance(value, str):
        digest.update(value.encode())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(value.tobytes())
    elif isinstance(value, Image.Image):
        _update_digest(digest, np.asarray(value.convert("RGBA")))
    elif isinstance(value, tuple):
        for element in value:
            _update_digest(digest, element)
    else:
        value = _arrays_to_lists(value)
        digest.update(repr(sorted(value.items()) if isinstance(value, dict) else value).encode())


def _arrays_to_lists(value: Any) -> Any:
    """Lists and columns of readings with their arrays as lists: of a long array, `repr` shows only the ends."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {name: _arrays_to_lists(cells) for name, cells in value.items()}
    return [_arrays_to_lists(element) for element in value] if isinstance(value, list | tuple) else value


def format_value(value: Any) -> str:
    """`value` as a message shows it: a path or a short text unchanged, bytes and arrays by their size."""
    if isinstance(value, dict) and value.keys() & {"bytes", "path"}:
        value = value.get("path") or value.get("bytes")
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and (medium := inline_medium(value)):
        return f"<{medium} in {len(value)} characters>"
    if isinstance(value, tuple):
        return f"({', '.join(map(format_value, value))})"
    if isinstance(value, np.ndarray):
        return f"<array {' x '.join(map(str, value.shape))}>"
    return shorten(str(value), 200)
