"""Pictures: every format and mode against Pillow, orientation, white ground, bounds, damage."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from sensorium.data.media import image

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]


def picture(height=33, width=47, channels=3, seed=0):
    """uint8 [height, width, channels], smooth enough that JPEG keeps it."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    layers = [
        Image.fromarray(small[:, :, c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(channels)
    ]
    return np.stack([np.asarray(layer) for layer in layers], axis=2)


def encoded(array, kind, mode=None, **options):
    file = io.BytesIO()
    made = Image.fromarray(array)
    (made.convert(mode) if mode else made).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_format_is_what_pillow_reads(kind, mode, tmp_path):
    data = encoded(picture(), kind, mode)
    (tmp_path / "a").write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for value in (data, "a", str(tmp_path / "a"), bytearray(data), {"bytes": data, "path": None}):
        got = image.decode(value, tmp_path)
        assert got.dtype == np.uint8 and got.shape == (33, 47, 3)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 20, "subsampling": 2}, {"subsampling": 0}])
def test_the_fast_jpeg_path_gives_pillows_pixels(options, tmp_path):
    data = encoded(picture(), "JPEG", **options)
    np.testing.assert_array_equal(image.decode(data, tmp_path), np.asarray(Image.open(io.BytesIO(data))))


def test_a_jpeg_for_print_is_read_through_pillow(tmp_path):
    data = encoded(picture(), "JPEG", "CMYK")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(image.decode(data, tmp_path), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert expected.shape[:2] == ((47, 33) if orientation > 4 else (33, 47))
    np.testing.assert_array_equal(image.decode(data, tmp_path), expected)
    np.testing.assert_array_equal(image.decode(Image.open(io.BytesIO(data)), tmp_path), expected)
    for value in (data, Image.open(io.BytesIO(data))):
        assert image.size_of(value, tmp_path) == expected.shape[1::-1]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_on_white(kind, tmp_path):
    array = picture(channels=4)
    array[:10, :, 3], array[10:20, :, 3], array[20:, :, 3] = 0, 255, 128
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    got = image.decode(encoded(array, kind, **options), tmp_path)
    alpha = array[:, :, 3:].astype(float) / 255
    assert (got[:10] == 255).all()
    np.testing.assert_array_equal(got[10:20], array[10:20, :, :3])
    np.testing.assert_allclose(got, array[:, :, :3] * alpha + 255 * (1 - alpha), atol=1)
    np.testing.assert_array_equal(image.decode(array, tmp_path), got)


def test_palette_gray_with_alpha_and_a_transparent_colour(tmp_path):
    palette = Image.fromarray(picture()).convert("P")
    palette.info["transparency"] = 0
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=0)
    got = image.decode(file.getvalue(), tmp_path)
    hidden = np.asarray(palette) == 0
    expected = np.where(hidden[:, :, None], 255, np.asarray(palette.convert("RGBA"))[:, :, :3])
    np.testing.assert_array_equal(got, expected)
    gray = np.stack([picture()[:, :, 0], np.full((33, 47), 255, np.uint8)], axis=2)
    got = image.decode(encoded(gray, "PNG"), tmp_path)
    np.testing.assert_array_equal(got, np.repeat(gray[:, :, :1], 3, axis=2))


def test_sixteen_bits_of_gray_keep_their_upper_eight(tmp_path):
    values = (np.arange(33 * 47).reshape(33, 47) * 42).astype(np.uint16)  # [H, W]
    got = image.decode(encoded(values, "PNG"), tmp_path)
    np.testing.assert_array_equal(got, np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2))


def test_arrays_and_pillow_images(tmp_path):
    array = picture()
    np.testing.assert_array_equal(image.decode(array, tmp_path), array)
    np.testing.assert_array_equal(image.decode(Image.fromarray(array), tmp_path), array)
    for gray in (array[:, :, 0], array[:, :, :1]):
        np.testing.assert_array_equal(image.decode(gray, tmp_path), np.repeat(array[:, :, :1], 3, axis=2))
    for wrong in (array.astype(np.float32), array[:, :, :2], array[0, 0], np.zeros((0, 3, 3), np.uint8), 7, ["a.png"]):
        with pytest.raises(ValueError):
            image.decode(wrong, tmp_path)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_short_is_an_error_and_never_half_a_picture(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    array = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    data = encoded(array, kind)
    whole = image.decode(data, tmp_path)
    for length in [*range(1, len(data) - 1, max(1, len(data) // 60)), len(data) - 20]:
        try:
            got = image.decode(data[:length], tmp_path)
        except ValueError as error:
            assert str(error)
        else:
            # All pixels are there; only what closes the file is missing.
            assert length > len(data) * 0.98
            np.testing.assert_array_equal(got, whole)


@pytest.mark.parametrize("kind", FORMATS)
def test_damage_is_a_plain_error_or_a_picture_never_another_exception(kind, tmp_path):
    rng = np.random.default_rng(1)
    data = np.frombuffer(encoded(picture(), kind), np.uint8)
    for _ in range(150):
        broken = data.copy()
        places = rng.integers(0, len(data) if rng.random() < 0.5 else 60, rng.integers(1, 6))
        broken[places] = rng.integers(0, 256, len(places))
        try:
            got = image.decode(broken.tobytes(), tmp_path)
        except ValueError as error:
            assert str(error)
        else:
            assert got.dtype == np.uint8 and got.ndim == 3 and got.shape[2] == 3


def png_header(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = zlib.compress(bytes(1000))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_header(width, height):
    data = bytearray(encoded(picture(16, 16), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data, millions",
    [(png_header(9000, 10_000), 90), (png_header(60_000, 60_000), 3600), (jpeg_header(65_000, 65_000), 4225)],
)
def test_a_bomb_is_an_error_before_it_is_decoded(data, millions, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=f"has {millions} million pixels, more than the bound of 64 million"):
        image.decode(data, tmp_path)
    assert not recwarn.list


def test_a_picture_of_one_endless_line_is_an_error_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for width, height in ((1, 64_000_000), (200_000, 5)):
        with pytest.raises(ValueError, match="pixels a side, more than the bound of 100,000"):
            image.decode(png_header(width, height), tmp_path)


def test_the_bound_itself_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(image, "MOST_PIXELS", 33 * 47)
    assert image.decode(encoded(picture(), "PNG"), tmp_path).shape == (33, 47, 3)
    with pytest.raises(ValueError, match="more than the bound"):
        image.decode(encoded(picture(34, 47), "PNG"), tmp_path)
    with pytest.raises(ValueError, match="more than the bound"):
        image.decode(picture(34, 47), tmp_path)


def test_a_webp_bomb_is_an_error(tmp_path):
    data = encoded(np.zeros((9000, 9000), np.uint8), "WEBP", lossless=True)
    assert len(data) < 100_000
    with pytest.raises(ValueError, match="has 81 million pixels"):
        image.decode(data, tmp_path)


def test_what_is_no_picture(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    for value, reason in [
        ("none.png", "there is no such file"),
        ("folder", "folder"),
        ("empty.png", "it is empty"),
        (b"", "it is empty"),
        ("text.png", "not a picture that can be read"),
        (b"RIFF....WAVEfmt ", "not a picture that can be read"),
        ("http://localhost/a.png", "only files are read"),
        ("/dev/zero", "not a file"),
    ]:
        with pytest.raises(ValueError, match=reason):
            image.decode(value, tmp_path)


@pytest.mark.parametrize("size, least, reduced", [
    ((480, 640), 224, (240, 320)), ((480, 640), 240, (240, 320)), ((480, 640), 241, (480, 640)),
    ((1500, 2000), 224, (375, 500)), ((1501, 2003), 188, (188, 251)), ((64, 904), 8, (8, 113)),
    ((30, 40), 64, (30, 40)),
])  # fmt: skip
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_reduced_to_the_smallest_scale_that_is_large_enough(size, least, reduced, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(*size), "JPEG", exif=exif, quality=95)
    got = image.decode(data, tmp_path, least=least)
    assert got.shape[:2] == (reduced if orientation == 1 else reduced[::-1])
    whole = Image.fromarray(image.decode(data, tmp_path))
    expected = np.asarray(whole.resize(got.shape[1::-1], Image.Resampling.BOX)).astype(int)
    assert np.abs(got - expected).mean() < 1
    measured = image.measure(data, tmp_path)
    assert (measured["height"], measured["width"]) == (size if orientation == 1 else size[::-1])


def test_the_measure_of_a_jpeg_sees_the_same_damage_as_its_decoding(tmp_path):
    rng = np.random.default_rng(3)
    data = np.frombuffer(encoded(picture(240, 320), "JPEG", quality=95), np.uint8)
    seen = 0
    for _ in range(200):
        broken = data.copy()
        broken[rng.integers(600, len(data), 3)] = rng.integers(0, 256, 3)
        broken = broken[: rng.integers(700, len(data))] if rng.random() < 0.3 else broken
        told = []
        for look in (image.decode, image.measure):
            try:
                look(broken.tobytes(), tmp_path)
                told.append("")
            except ValueError as error:
                told.append(str(error))
        assert told[0] == told[1]
        seen += told[0] != ""
    assert 60 < seen < 200


def test_measures(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert image.measure(encoded(picture(), "JPEG", exif=exif), tmp_path) == {"height": 47, "width": 33}
