"""Images: a file, its bytes, an array or a Pillow image made uint8 [H, W, 3], upright and on white."""

import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from sensorium.data.media.content import read_content
from sensorium.data.media.image_files import BROKEN, Opener, check_depth, find_opener, to_upright_rgb

MOST_PIXELS = 64_000_000
_MOST_SIDE = 100_000  # Pillow keeps a pointer to each line, which of a picture one pixel wide is more than the pixels
# Of a thinner picture only so much is scaled before the middle is cut out: the rest would not be seen, and is costly.
MOST_ASPECT = 32

_JPEG = b"\xff\xd8\xff"
_ORIENTATION = 0x0112
_TRANSPOSED = (5, 6, 7, 8)
# Pillow reads the orientation from the header, which is slow; a header with neither of these has none.
_MAY_BE_TURNED = re.compile(rb"Exif\0\0|tiff:Orientation")
_START_OF_SCAN = 0xDA  # the marker after which a JPEG's pixels begin


def decode(value: Any, root: Path, least: int | None = None) -> np.ndarray:
    """`value` as uint8 [H, W, 3]: red, green, blue, turned as its EXIF orientation says, transparency on white.

    `value` is a path, the bytes of a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF (of several frames or pages the
    first), a Pillow image, or an array uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]. With `least`, in pixels, a JPEG
    may come at an eighth, a quarter or half its size, the smallest of which both sides still are at least that. Raises
    ValueError with a reason when the image cannot be read whole or has more than 64 million pixels, or 100,000 a side,
    which its header states before anything is decoded."""
    value = read_content(value, root)
    if isinstance(value, bytes):
        return _decode_file(value, least)
    if isinstance(value, Image.Image):
        _check_size(*value.size)
        check_depth(value)
        return to_upright_rgb(value)
    if isinstance(value, np.ndarray):
        return to_upright_rgb(_from_array(value))
    raise ValueError(f"a picture is a path, bytes, an array or a Pillow image, not {type(value).__name__}")


def size_of(value: Any, root: Path) -> tuple[int, int]:
    """Width and height in pixels of `value`, as `decode` turns it, from its header. Raises ValueError as `decode`."""
    value = read_content(value, root)
    if isinstance(value, np.ndarray):
        return value.shape[1], value.shape[0]
    try:
        image = find_opener(value)(io.BytesIO(value)) if isinstance(value, bytes) else value
        # Pillow gives the size of a TIFF as it is turned.
        turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in _TRANSPOSED
    except BROKEN as error:
        raise ValueError(f"the file is not a picture that can be read ({error})") from error
    _check_size(*image.size)
    return image.size[::-1] if turned else image.size


def measure(value: Any, root: Path) -> dict[str, float]:
    """The height and width in pixels of `value`, all of whose data is read. Raises ValueError as `decode` does."""
    return measure_and_decode(value, root, least=1)[0]


def measure_and_decode(value: Any, root: Path, least: int) -> tuple[dict[str, float], np.ndarray]:
    """What `measure` gives, and the pixels, which of a JPEG may come smaller, as `decode` says of `least`."""
    value = read_content(value, root)
    header = _jpeg_header(value) if isinstance(value, bytes) else None
    pixels = decode(value, root) if header is None else _decode_jpeg(value, header, least)
    height, width = pixels.shape[:2]
    if header is not None:
        transposed = header.orientation in _TRANSPOSED
        height, width = (header.width, header.height) if transposed else (header.height, header.width)
    return {"height": height, "width": width}, pixels


class _Header(NamedTuple):
    """The header of a JPEG: its sides in pixels before turning, and EXIF's orientation, 1 to 8."""

    height: int
    width: int
    orientation: int


def _decode_file(data: bytes, least: int | None) -> np.ndarray:
    header = _jpeg_header(data)
    if header is not None:
        return _decode_jpeg(data, header, least)
    opener = find_opener(data)
    with warnings.catch_warnings():  # Pillow warns of odd tags; those that matter are errors
        warnings.simplefilter("ignore")
        return _decode_with_pillow(opener, data)


def _decode_with_pillow(opener: Opener, data: bytes) -> np.ndarray:
    try:
        image = opener(io.BytesIO(data))
    except BROKEN as error:
        raise ValueError(f"the file is not a picture that can be read ({error})") from error
    _check_size(*image.size)
    check_depth(image)
    try:
        return to_upright_rgb(image)
    except BROKEN as error:
        raise ValueError(f"the picture is cut short or damaged ({error})") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        millions = f"{width * height / 1e6:.0f} million pixels"
        raise ValueError(f"the picture has {millions}, more than the bound of {MOST_PIXELS // 10**6} million")
    if max(width, height) > _MOST_SIDE:
        raise ValueError(f"the picture has {max(width, height):,} pixels a side, more than the bound of {_MOST_SIDE:,}")
    if width * height == 0:
        raise ValueError("the picture has no pixels")


def _jpeg_header(data: bytes) -> _Header | None:
    """The header of a gray or RGB JPEG; None for other files, among them JPEGs for print (CMYK), which Pillow reads."""
    if not data.startswith(_JPEG):
        return None
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data)
        may_be_turned = _MAY_BE_TURNED.search(data, 0, _header_length(data)) is not None
        orientation = find_opener(data)(io.BytesIO(data)).getexif().get(_ORIENTATION, 1) if may_be_turned else 1
    except BROKEN as error:
        raise ValueError(f"the file is not a picture that can be read ({error})") from error
    _check_size(width, height)
    return None if colour_space in ("CMYK", "YCCK") else _Header(height, width, orientation)


def _header_length(data: bytes) -> int:
    """How many bytes of a JPEG precede its pixels, or the first byte where no marker stands as it should."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != _START_OF_SCAN:
        # A byte 0xFF before a marker is padding; any other segment states its length.
        position += 1 if data[position + 1] == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4])
    return position


def _decode_jpeg(data: bytes, header: _Header, least: int | None) -> np.ndarray:
    """uint8 [H, W, 3]; at full size the pixels are Pillow's. Strict, so that a file cut short is an error."""
    eighths = 8 if least is None else _eighths(min(header.height, header.width), least)
    height, width = (-(-side * eighths // 8) for side in (header.height, header.width))
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, strict=True)
    except ValueError as error:
        raise ValueError(f"the picture is cut short or damaged ({error})") from error
    if header.orientation in _TRANSPOSED:
        pixels = pixels.transpose(1, 0, 2)  # [W, H, 3]
    if header.orientation in (3, 4, 7, 8):  # upside down
        pixels = pixels[::-1]
    if header.orientation in (2, 3, 6, 7):  # mirrored from left to right
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _eighths(side: int, least: int) -> int:
    """The smallest scale that decodes fast, in eighths, at which `side` is still at least `least` pixels."""
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
