"""Image files: recognised by their first bytes, opened without decoding, and any mode made red, green, blue."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error)
# From libtiff and libheif, from profiles, and for the frames of a GIF, which Pillow checks again.
BROKEN += (RuntimeError, ImageCms.PyCMSError, Image.DecompressionBombError)
Opener = Callable[[io.BytesIO], Image.Image]

_BITS, _POLARITY = 258, 262  # TIFF's tags BitsPerSample and PhotometricInterpretation


def find_opener(data: bytes) -> Opener:
    """The Pillow class that opens an image file's bytes (of several pages or frames the first) without decoding. Raises
    ValueError when the file is of no supported format, or of one whose package is not installed."""
    # The classes are called directly, as Image.open warns of, and refuses, large images by a bound of its own that
    # holds for the process.
    opener = next((opener for starts, opener in _OPENERS if data.startswith(starts)), None)
    if opener is None and data[4:8] == b"ftyp":
        opener = _find_iso_opener(data)
    if opener is None:
        raise ValueError(f"the file is not a picture that can be read ({NAMES})")
    return opener


def _find_iso_opener(data: bytes) -> Opener | None:
    """The class that reads a file of the ISO container, by the brands that its first box names."""
    end = min(struct.unpack(">I", data[:4])[0], 256)
    brands = {data[offset : offset + 4] for offset in (8, *range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return AvifImagePlugin.AvifImageFile
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return _import_heif_opener()
    return None


def _import_heif_opener() -> Opener:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ValueError(
            "a HEIC picture needs the package 'pillow-heif', which is not installed: pip install 'sensorium[heic]'"
        ) from error
    return HeifImageFile


_OPENERS = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
)


def check_depth(image: Image.Image) -> None:
    """Raises ValueError for floats and for whole numbers of 32 bits, which do not say how bright white is."""
    if image.mode in ("I", "F"):
        kind = "floats" if image.mode == "F" else "signed or 32-bit whole numbers"
        raise ValueError(f"its pixels are {kind}, which do not say how bright white is; save it with 8 or 16 bits")


def to_upright_rgb(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3]: red, green, blue of an image in any of Pillow's other modes, turned as its EXIF says. Of 16 bits
    the upper eight remain, transparency is laid on white. Raises any of BROKEN for damage."""
    image.load()
    tags = getattr(image, "tag_v2", {})
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = _to_eight_bits(image, tags)
    if image.mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return np.array(image.convert("RGB"))


def _to_eight_bits(image: Image.Image, tags: dict) -> Image.Image:
    """A gray image of 16 bits with 8: a TIFF may use only 12 of its 16, or count from white."""
    values = np.asarray(image)  # [H, W]
    gray = (values >> (tags.get(_BITS, (16,))[0] - 8)).astype(np.uint8)
    gray_image = Image.fromarray(255 - gray if tags.get(_POLARITY) == 0 else gray)
    if "transparency" in image.info:
        gray_image.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return gray_image
