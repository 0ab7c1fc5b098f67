"""Files of text in any usual encoding, compressed or not, as UTF-8, and what was noticed in decoding them."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from sensorium.errors import UserError

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

_LEAST_BOUND, _MOST_RATIO = 2**28, 100  # bytes that any file may unpack to, and times its own size
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
_HEAD = 4096  # bytes at the start of a file in which marks and null bytes are looked for


class TextFile(NamedTuple):
    """A file of text. `content`: its UTF-8 bytes, None where those of the file itself are UTF-8 and are not held in
    memory. `notices`: what was noticed, in sentences."""

    path: Path
    content: bytes | None
    notices: tuple[str, ...] = ()

    def open_bytes(self) -> BinaryIO:
        """The text as UTF-8, a byte order mark perhaps before it."""
        return open(self.path, "rb") if self.content is None else io.BytesIO(self.content)

    def open(self) -> TextIO:
        """The text without a byte order mark, its line ends unchanged."""
        return io.TextIOWrapper(self.open_bytes(), encoding="utf-8-sig", newline="")


def ending_of(path: Path) -> str:
    """The ending of a file in small letters, of a compressed one with that before it: `.csv`, `.csv.gz`."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    return "".join(endings) if endings and endings[-1] in COMPRESSED else "".join(endings[-1:])


def read_text_file(path: Path) -> TextFile:
    """Decodes a file: UTF-8, UTF-16 and UTF-32 with a byte order mark, else Windows-1252. Raises UserError for what is
    no text, is damaged, or unpacks to far more than a table has."""
    if path.suffix.lower() in COMPRESSED:
        return _decode(path, _unpack(path))
    with open(path, "rb") as file:
        is_plain = b"\0" not in file.read(_HEAD)
        file.seek(0)
        if is_plain and not first_line_not_utf8(file):
            return TextFile(path, None)
    return _decode(path, path.read_bytes())


def first_line_not_utf8(file: BinaryIO) -> int:
    """The number of the first line that is not UTF-8, from 1; 0 where all of them are."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    while True:
        block = file.read(1 << 20)
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return lines + error.object[: error.start].count(b"\n")
        lines += block.count(b"\n")
        if not block:
            return 0


def first_sentence(error: Exception) -> str:
    """The first sentence of a library's error."""
    return str(error).splitlines()[0].split(". ")[0].rstrip(".")


def unpacked_bound(path: Path) -> int:
    """The most bytes that a compressed file may unpack to."""
    return max(_LEAST_BOUND, _MOST_RATIO * path.stat().st_size)


def _unpack(path: Path) -> bytes:
    ending = path.suffix.lower()
    bound = unpacked_bound(path)
    try:
        with COMPRESSED[ending](path, "rb") as file:
            content = file.read(bound + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if getattr(error, "errno", None) is not None:  # of the disk, not of the content
            raise
        raise UserError(f"{path} is no whole {ending} file ({error}); bring a whole copy of it.") from error
    if len(content) > bound:
        raise UserError(f"{path} unpacks to more than {bound // 2**20:,} MiB; unpack it yourself if that is right.")
    return content


def _decode(path: Path, content: bytes) -> TextFile:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    if encoding is None and b"\0" in content[:_HEAD]:
        # Letters of the Latin alphabet have one null byte of two in UTF-16.
        encoding = "UTF-16-LE" if not any(content[1:_HEAD:2]) else "UTF-16-BE" if not any(content[:_HEAD:2]) else None
        if encoding is None:
            raise UserError(f"{path} is not text: it holds null bytes; save it as UTF-8 text.")
    if encoding is not None:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            raise UserError(f"{path} starts as {encoding} and does not go on so; bring a whole copy.") from None
        return TextFile(path, text.encode(), (f"{path} is read as {encoding} text.",))
    line = first_line_not_utf8(io.BytesIO(content))
    return _decode_western(path, content, line) if line else TextFile(path, content)


def _decode_western(path: Path, content: bytes, line: int) -> TextFile:
    """Windows-1252, unless the text is mostly UTF-8, and so damaged, or has bytes that Windows-1252 lacks."""
    replaced = content.decode("utf-8", "replace")
    damaged = replaced.count("\ufffd")
    beyond_ascii = len(replaced.encode("ascii", "ignore"))
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = None
    if text is None or len(replaced) - beyond_ascii > 2 * damaged:
        raise UserError(f"Line {line} of {path} is not UTF-8 text; save the file as UTF-8.")
    word = re.search(r"\w*[^\x00-\x7f]\w*", text)
    notice = (
        f"Line {line} of {path} is not UTF-8, so that the file is read as Windows-1252, which makes it"
        f" {word[0][:40]!r}; save it as UTF-8 where that is wrong."
    )
    return TextFile(path, text.encode(), (notice,))
