"""Picture files beyond JPEG and PNG, against FFmpeg's reading of them or the plain formula; bombs and damage."""

import io
import struct
import sys
import zlib

import av
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageFile

from sensorium.data.media import image
from tests.data.media.test_image import encoded, picture

WHITE_D50 = np.array([0.9642, 1.0, 0.8249])
TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


def heic(array, **options):
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(array)).save(file, **options)
    return file.getvalue()


def by_ffmpeg(data, form="rgb24"):
    """The pixels as FFmpeg reads the file."""
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format=form)


def written_by_ffmpeg(values, codec, form):
    """The file that FFmpeg makes of an array of pixels in the given form."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = values.shape[1], values.shape[0], form
    context.time_base = 1
    packets = [
        *context.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format=form)),
        *context.encode(None),
    ]
    return b"".join(map(bytes, packets))


def tiff(values, bits, polarity=1, order="<", form=1):
    """A plain gray TIFF of one strip: `values` [H, W] as written, sample format 1 (whole), 2 (signed) or 3 (float)."""
    height, width = values.shape
    body = values.tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: polarity, 273: 8, 277: 1, 278: height, 279: len(body)}
    tags[339] = form
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    return start + body + struct.pack(order + "H", len(tags)) + entries + bytes(4)


def deep(channels=None, seed=0):
    """uint16 over the whole range, smooth."""
    size = (33, 47, channels) if channels else (33, 47)
    ramp = np.linspace(0, 65535, int(np.prod(size))).astype(np.uint16)
    return np.random.default_rng(seed).permutation(ramp).reshape(size)


@pytest.mark.parametrize("codec", ["png", "tiff"])
def test_sixteen_bits_of_colour_keep_their_upper_eight(codec, tmp_path):
    values = deep(3)
    form = "rgb48be" if codec == "png" else "rgb48le"
    data = written_by_ffmpeg(values, codec, form)
    np.testing.assert_array_equal(by_ffmpeg(data, "rgb48le"), values)
    np.testing.assert_array_equal(image.decode(data, tmp_path), values >> 8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("polarity", [0, 1])
def test_sixteen_bits_of_gray_in_a_tiff_either_way_round(order, polarity, tmp_path):
    values = deep()
    data = tiff(values.astype(order + "u2"), 16, polarity, order)
    if polarity == 0 and order == ">":
        with pytest.raises(ValueError, match="not a picture that can be read"):  # Pillow knows no such file
            image.decode(data, tmp_path)
        return
    expected = values >> 8 if polarity else 255 - (values >> 8)
    np.testing.assert_array_equal(image.decode(data, tmp_path), np.repeat(expected[:, :, None], 3, axis=2))


def test_twelve_bits_of_gray_are_as_bright_as_eight(tmp_path):
    values = deep() >> 4  # [33, 47], 12 bits
    padded = np.pad(values, ((0, 0), (0, 1)))  # a line is whole bytes: pairs of pixels in three
    first, second = padded[:, ::2], padded[:, 1::2]
    lines = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2).astype(np.uint8)
    data = bytearray(tiff(lines.reshape(33, -1)[:, :71], 12))
    place = data.index(struct.pack("<HHI", 256, 4, 1)) + 8
    data[place : place + 4] = struct.pack("<I", 47)
    got = image.decode(bytes(data), tmp_path)
    np.testing.assert_array_equal(got, np.repeat((values >> 4)[:, :, None], 3, axis=2))


@pytest.mark.parametrize("kind, bits, form", [("<f4", 32, 3), ("<i4", 32, 2), ("<u4", 32, 1), ("<i2", 16, 2)])
def test_numbers_that_do_not_say_what_white_is_are_an_error(kind, bits, form, tmp_path):
    with pytest.raises(ValueError, match=r"its pixels are .* how bright white is; save it with 8 or 16 bits"):
        image.decode(tiff(deep().astype(kind), bits, form=form), tmp_path)
    with pytest.raises(ValueError, match="how bright white is"):
        image.decode(Image.fromarray(deep().astype(np.float32)), tmp_path)


def test_sixteen_bits_of_gray_with_a_transparent_one(tmp_path):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    values = np.array([[0x8000, 0x8001, 0xFFFF]], ">u2")
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 16, 0, 0, 0, 0))
    data += chunk(b"tRNS", b"\x80\x01") + chunk(b"IDAT", zlib.compress(b"\0" + values.tobytes())) + chunk(b"IEND", b"")
    assert image.decode(data, tmp_path)[0, :, 0].tolist() == [128, 255, 255]


def for_print(seed=0):
    """uint8 [33, 47, 4], cyan to black, and the red, green, blue that the plain formula makes of it."""
    inks = picture(channels=4, seed=seed)
    return inks, (255 - inks[:, :, :3].astype(int)) * (255 - inks[:, :, 3:].astype(int)) / 255


@pytest.mark.parametrize("kind, options", [("JPEG", {"quality": 100}), ("TIFF", {}), ("TIFF", {"compression": "lzma"})])
def test_pictures_for_print_follow_the_plain_formula(kind, options, tmp_path):
    inks, expected = for_print()
    data = encoded_as(Image.fromarray(inks, "CMYK"), kind, **options)
    if kind == "JPEG":
        assert b"Adobe" in data  # which says that the inks are stored upside down
    np.testing.assert_allclose(image.decode(data, tmp_path), expected, atol=4 if kind == "JPEG" else 2)


def encoded_as(made, kind, **options):
    file = io.BytesIO()
    made.save(file, kind, **options)
    return file.getvalue()


def test_lab_follows_the_plain_formula(tmp_path):
    rng = np.random.default_rng(0)
    lab = np.stack([rng.uniform(50, 80, (20, 30)), *rng.uniform(-12, 12, (2, 20, 30))], axis=2)  # within sRGB
    stored = np.stack([lab[..., 0] * 2.55, lab[..., 1] % 256, lab[..., 2] % 256], axis=2).round().astype(np.uint8)
    lab = np.stack([stored[..., 0] / 2.55, *stored[..., 1:].astype(np.int8).transpose(2, 0, 1)], axis=2)
    middle = (lab[..., 0] + 16) / 116
    roots = np.stack([middle + lab[..., 1] / 500, middle, middle - lab[..., 2] / 200], axis=2)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * WHITE_D50
    linear = (xyz @ TO_SRGB.T).clip(0, 1)
    expected = 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    data = encoded_as(Image.frombytes("LAB", (30, 20), stored.tobytes()), "TIFF")
    np.testing.assert_allclose(image.decode(data, tmp_path), expected, atol=3)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_tiffs_are_what_ffmpeg_reads(mode, compression, tmp_path):
    data = encoded_as(Image.fromarray(picture()).convert(mode), "TIFF", compression=compression)
    np.testing.assert_array_equal(image.decode(data, tmp_path), by_ffmpeg(data))


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_of_several_pages_or_frames_the_first(kind, tmp_path):
    frames = [Image.fromarray(picture(seed=seed)).quantize(64) for seed in range(3)]
    data = encoded_as(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(image.decode(data, tmp_path), np.asarray(frames[0].convert("RGB")))
    assert Image.open(io.BytesIO(data)).n_frames == 3


@pytest.mark.parametrize("make", [heic, lambda array, **options: encoded(array, "AVIF", **options)])
def test_heic_and_avif_are_near_the_picture_and_what_ffmpeg_reads(make, tmp_path):
    array = picture(64, 96)
    data = make(array, quality=95)
    got = image.decode(data, tmp_path).astype(int)
    assert np.abs(got - array).mean() < 4
    assert np.abs(got - by_ffmpeg(data)).mean() < 4
    assert image.measure(data, tmp_path) == {"height": 64, "width": 96}


def test_without_its_package_a_heic_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r"needs the package 'pillow-heif'.*pip install 'sensorium\[heic\]'"):
        image.decode(heic(picture()), tmp_path)
    assert image.decode(encoded(picture(), "AVIF"), tmp_path).shape == (33, 47, 3)


FILES = {
    "TIFF": lambda array: encoded(array, "TIFF"),
    "TIFF lzw": lambda array: encoded(array, "TIFF", compression="tiff_lzw"),
    "TIFF jpeg": lambda array: encoded(array, "TIFF", compression="jpeg"),
    "JPEG CMYK": lambda array: encoded(array, "JPEG", "CMYK"),
    "HEIC": heic,
    "AVIF": lambda array: encoded(array, "AVIF"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_short_is_an_error_and_never_half_a_picture(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    data = FILES[kind](np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    whole = image.decode(data, tmp_path)
    for length in range(1, len(data) - 20, max(1, len(data) // 40)):
        try:
            got = image.decode(data[:length], tmp_path)
        except ValueError as error:
            assert str(error)
        else:
            np.testing.assert_array_equal(got, whole)
            assert length > len(data) * 0.98


@pytest.mark.parametrize("kind", FILES)
def test_damage_is_a_plain_error_or_a_picture_never_another_exception(kind, tmp_path, recwarn):
    rng = np.random.default_rng(1)
    data = np.frombuffer(FILES[kind](picture()), np.uint8)
    for _ in range(100):
        broken = data.copy()
        places = rng.integers(0, len(data) if rng.random() < 0.5 else 60, rng.integers(1, 6))
        places[0] = places[0] if rng.random() < 0.5 else len(data) - rng.integers(1, 120)  # a TIFF's tags
        broken[places] = rng.integers(0, 256, len(places))
        try:
            got = image.decode(broken.tobytes(), tmp_path)
        except ValueError as error:
            assert str(error)
        else:
            assert got.dtype == np.uint8 and got.ndim == 3 and got.shape[2] == 3
    assert not recwarn.list


def with_size(data, kind, width, height):
    """The file with another size in its header."""
    data = bytearray(data)
    if kind == "TIFF":
        for tag, value in ((256, width), (257, height)):
            place = data.index(struct.pack("<H", tag) + b"\x04\0\1\0\0\0", 8) + 8
            data[place : place + 4] = struct.pack("<I", value)
    else:
        place = -1
        while (place := data.find(b"ispe", place + 1)) >= 0:
            data[place + 8 : place + 16] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize("kind", ["TIFF", "HEIC", "AVIF"])
def test_a_bomb_is_an_error_before_it_is_decoded(kind, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    made = tiff(picture()[:, :, 0], 8) if kind == "TIFF" else FILES[kind](picture(64, 64))
    with pytest.raises(ValueError, match="has 90 million pixels, more than the bound of 64 million"):
        image.decode(with_size(made, kind, 9000, 10_000), tmp_path)
    assert not recwarn.list
