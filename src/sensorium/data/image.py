"""Pictures: a file, its bytes, an array or a Pillow image made uint8 [H, W, 3], upright and on white."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from sensorium.data.contents import opened

MOST_PIXELS = 64_000_000

# Each kind of file by its first bytes. The classes are called directly, as Image.open warns of, and refuses, large
# pictures by a bound of its own that belongs to the whole process.
_KINDS = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,  # Pillow asks again for the frames of a GIF
)
_ORIENTATION = 0x0112


def decode(value: Any, root: Path) -> np.ndarray:
    """`value` as uint8 [H, W, 3]: red, green, blue, turned as its EXIF orientation says, transparency on white.

    `value` is a path, the bytes of a JPEG, PNG, WebP, GIF or BMP (of an animation the first frame), a Pillow image,
    or an array uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]. Raises ValueError with a reason when it cannot be
    read whole or has more than 64 million pixels, which its header tells before anything is decoded.
    """
    value = opened(value, root)
    if isinstance(value, bytes):
        return _decode_file(value)
    if isinstance(value, Image.Image):
        _check_size(*value.size)
        return _rgb(ImageOps.exif_transpose(value))
    if isinstance(value, np.ndarray):
        return _rgb(_from_array(value))
    raise ValueError(f"a picture is a path, bytes, an array or a Pillow image, not {type(value).__name__}")


def measure(value: Any, root: Path) -> dict[str, float]:
    """The height and width in pixels of `value`, once decoded whole. Raises ValueError as `decode` does."""
    height, width, _ = decode(value, root).shape
    return {"height": height, "width": width}


def _decode_file(data: bytes) -> np.ndarray:
    kind = next((kind for start, kind in _KINDS if data.startswith(start)), None)
    if kind is None:
        raise ValueError("the file is not a picture that can be read (JPEG, PNG, WebP, GIF or BMP)")
    try:
        image = kind(io.BytesIO(data))
    except _BROKEN as error:
        raise ValueError(f"the file is not a picture that can be read ({error})") from error
    _check_size(*image.size)
    try:
        if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            return _decode_jpeg(data, image.getexif().get(_ORIENTATION, 1))
        image.load()
        return _rgb(ImageOps.exif_transpose(image))
    except _BROKEN as error:
        raise ValueError(f"the picture is cut short or damaged ({error})") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        millions = f"{width * height / 1e6:.0f} million pixels"
        raise ValueError(f"the picture has {millions}, more than the bound of {MOST_PIXELS // 10**6} million")
    if width * height == 0:
        raise ValueError("the picture has no pixels")


def _decode_jpeg(data: bytes, orientation: int) -> np.ndarray:
    """Half again as fast as Pillow, with the same pixels; strict, so that a file cut short is an error."""
    pixels = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)  # [W, H, 3]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


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


def _rgb(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3] of an upright image in any of Pillow's modes."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))  # 16 bits of gray
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return np.array(image.convert("RGB"))
