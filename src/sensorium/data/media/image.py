"""Pictures: a file, its bytes, an array or a Pillow image made uint8 [H, W, 3], upright and on white."""

import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from sensorium.data.media.content import opened
from sensorium.data.media.image_files import BROKEN, Opener, check_depth, opener, upright

MOST_PIXELS = 64_000_000

_JPEG = b"\xff\xd8\xff"
_ORIENTATION = 0x0112
_TRANSPOSED = (5, 6, 7, 8)
# Only Pillow's reading of the header finds the orientation; where neither of these stands in it, there is none.
_MAY_BE_TURNED = re.compile(rb"Exif\0\0|tiff:Orientation")
_SCAN = 0xDA  # the marker after which a JPEG's pixels begin


def decode(value: Any, root: Path, least: int | None = None) -> np.ndarray:
    """`value` as uint8 [H, W, 3]: red, green, blue, turned as its EXIF orientation says, transparency on white.

    `value` is a path, the bytes of a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF (of several frames or pages the
    first), a Pillow image, or an array uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]. With `least`, in pixels, a JPEG
    may come at an eighth, a quarter or half its size, the smallest of which both sides still are at least that. Raises
    ValueError with a reason when the picture cannot be read whole or has more than 64 million pixels, which its header
    tells before anything is decoded.
    """
    value = opened(value, root)
    if isinstance(value, bytes):
        return _decode_file(value, least)
    if isinstance(value, Image.Image):
        _check_size(*value.size)
        check_depth(value)
        return upright(value)
    if isinstance(value, np.ndarray):
        return upright(_from_array(value))
    raise ValueError(f"a picture is a path, bytes, an array or a Pillow image, not {type(value).__name__}")


def measure(value: Any, root: Path) -> dict[str, float]:
    """The height and width in pixels of `value`, all of whose data is read. Raises ValueError as `decode` does."""
    value = opened(value, root)
    header = _jpeg_header(value) if isinstance(value, bytes) else None
    if header is not None:
        _decode_jpeg(value, header, least=1)
        sides = (header.height, header.width)
        height, width = reversed(sides) if header.orientation in _TRANSPOSED else sides
        return {"height": height, "width": width}
    height, width, _ = decode(value, root).shape
    return {"height": height, "width": width}


class _Header(NamedTuple):
    """What the header of a JPEG says: pixels before turning, and EXIF's orientation, 1 to 8."""

    height: int
    width: int
    orientation: int


def _decode_file(data: bytes, least: int | None) -> np.ndarray:
    header = _jpeg_header(data)
    if header is not None:
        return _decode_jpeg(data, header, least)
    kind = opener(data)
    with warnings.catch_warnings():  # of tags that are odd; what matters of them is an error
        warnings.simplefilter("ignore")
        return _through_pillow(kind, data)


def _through_pillow(kind: Opener, data: bytes) -> np.ndarray:
    try:
        image = kind(io.BytesIO(data))
    except BROKEN as error:
        raise ValueError(f"the file is not a picture that can be read ({error})") from error
    _check_size(*image.size)
    check_depth(image)
    try:
        return upright(image)
    except BROKEN as error:
        raise ValueError(f"the picture is cut short or damaged ({error})") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        millions = f"{width * height / 1e6:.0f} million pixels"
        raise ValueError(f"the picture has {millions}, more than the bound of {MOST_PIXELS // 10**6} million")
    if width * height == 0:
        raise ValueError("the picture has no pixels")


def _jpeg_header(data: bytes) -> _Header | None:
    """The header of a gray or coloured JPEG; None for other files, those for print among them, which Pillow reads."""
    if not data.startswith(_JPEG):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        turned = _MAY_BE_TURNED.search(data, 0, _header_length(data)) is not None
        orientation = opener(data)(io.BytesIO(data)).getexif().get(_ORIENTATION, 1) if turned else 1
    except BROKEN as error:
        raise ValueError(f"the file is not a picture that can be read ({error})") from error
    _check_size(width, height)
    return None if colours in ("CMYK", "YCCK") else _Header(height, width, orientation)


def _header_length(data: bytes) -> int:
    """How many bytes of a JPEG stand before its pixels, or before the first thing that is out of order."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != _SCAN:
        place += 1 if data[place + 1] == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4])
    return place


def _decode_jpeg(data: bytes, header: _Header, least: int | None) -> np.ndarray:
    """uint8 [H, W, 3], with Pillow's pixels where it is not reduced; strict, so that a file cut short is an error."""
    eighths = 8 if least is None else _eighths(min(header.height, header.width), least)
    height, width = (-(-side * eighths // 8) for side in (header.height, header.width))
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, strict=True)
    except ValueError as error:
        raise ValueError(f"the picture is cut short or damaged ({error})") from error
    if header.orientation in _TRANSPOSED:
        pixels = pixels.transpose(1, 0, 2)  # [W, H, 3]
    if header.orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if header.orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _eighths(side: int, least: int) -> int:
    """The smallest of the scales that are fast to decode, in eighths, at which `side` is still `least` pixels."""
    return next((eighths for eighths in (1, 2, 4) if -(-side * eighths // 8) >= least), 8)


def _from_array(value: np.ndarray) -> Image.Image:
    if value.ndim == 3 and value.shape[2] == 1:
        value = value[:, :, 0]
    if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))):
        raise ValueError(
            f"a picture as an array is uint8 (0 to 255) [H, W], [H, W, 3] or [H, W, 4],"
            f" not {value.dtype} {list(value.shape)}"
        )
    height, width = value.shape[:2]
    _check_size(width, height)
    return Image.fromarray(value)
