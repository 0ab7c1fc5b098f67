"""Kinds of media: by the ending of a file's name, by its first bytes, and files written into a cell as text."""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

IMAGE_ENDINGS = (
    "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif",
    "jfif", "jpe", "jfi", "jif", "pjpeg", "pjp", "apng", "dib", "hif",
)  # fmt: skip
AUDIO_ENDINGS = (
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "m4b", "aac", "wma", "aif", "aiff", "au", "caf", "weba",
    "wave", "w64", "aifc", "snd", "mp2", "mpga", "mka", "spx", "m4r",
)  # fmt: skip
VIDEO_ENDINGS = (
    "mp4", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "m4v",
    "ogv", "flv", "wmv", "asf", "3gp", "3g2", "mts", "m2ts", "vob", "qt", "mpe", "f4v",
)  # fmt: skip
ENDINGS = {"image": IMAGE_ENDINGS, "audio": AUDIO_ENDINGS, "video": VIDEO_ENDINGS}
ARRAYS = ("npy", "csv", "parquet", "xyz")
FILE_ENDINGS = ENDINGS | {"film": VIDEO_ENDINGS, "series": ARRAYS, "points": ARRAYS}
# The endings of files that were bytes without a name; decoders read the bytes, whatever the ending is.
DEFAULT_ENDING = {"image": "jpg", "audio": "wav", "video": "mp4", "film": "mp4", "series": "npy", "points": "npy"}

_STARTS = (
    (rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8|BM....\0\0\0\0|II[*+]\0|MM\0[*+]", "image"),
    (rb"....ftyp(avi[fs]|hei[cxms]|hev[cx]|m[is]f1)", "image"),
    (
        rb"RIFF....WAVE|riff|RF64|fLaC|ID3|\xff[\xe2\xe3\xf1-\xf3\xf9-\xfd]|....ftypM4[AB]|FORM....AIF|\.snd|caff",
        "audio",
    ),
    (rb"OggS.{24,}?(\x80theora|\x01video)", "video"),
    (rb"OggS|0&\xb2u", "audio"),
    (rb"RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01|....(ftyp|moov|mdat|wide)", "video"),
)
_DATA_URI = re.compile(r"\s*data:(?P<kind>[\w.+-]*)/?[^,;]*(?P<options>(;[^,;]*)*),", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\r\n-]{40,}={0,2}\s*")
_FIRST = 120  # characters of base64 that are enough to tell a medium by


def medium_of(content: bytes) -> str | None:
    """The kind of medium, a key of ENDINGS, that a file is by its first bytes; None for other files."""
    return next((kind for start, kind in _STARTS if re.match(start, content[:_FIRST], re.DOTALL)), None)


def inline_medium(text: str) -> str | None:
    """The kind of medium whose file a cell holds, as a data URI or as plain base64; None for any other text."""
    uri = _DATA_URI.match(text[:_FIRST])
    if uri:
        start = _decode_uri(text[: uri.end() + _FIRST], uri) or b""
        return medium_of(start) or (uri["kind"].lower() if uri["kind"].lower() in ENDINGS else None)
    if not _BASE64.match(text[:_FIRST]):
        return None
    start = _decode_base64("".join(text[:_FIRST].split())[:96]) or b""
    return medium_of(start) if _BASE64.fullmatch(text) else None


def decode_inline(text: str) -> bytes | None:
    """The file that a cell holds as a data URI or as plain base64 of a medium; None for any other text, such as a path.

    Raises ValueError for a data URI that is damaged."""
    uri = _DATA_URI.match(text[:_FIRST])
    if uri is None:
        return _decode_base64(text) if inline_medium(text) else None
    content = _decode_uri(text, uri)
    if content is None:
        raise ValueError("the data URI is cut short or damaged")
    return content


def _decode_uri(text: str, uri: re.Match[str]) -> bytes | None:
    payload, is_base64 = text[uri.end() :], uri["options"].lower().rstrip().endswith(";base64")
    return _decode_base64(unquote_to_bytes(payload).decode("latin-1")) if is_base64 else unquote_to_bytes(payload)


def _decode_base64(text: str) -> bytes | None:
    """The bytes of base64, also that for addresses, with or without padding; None when there is a character too many
    or one of another kind."""
    digits = "".join(text.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
