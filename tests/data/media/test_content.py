"""Cells that name a file or hold it: other spellings of a path, addresses, data URIs and base64."""

import base64
import io
import unicodedata

import numpy as np
import pytest
from PIL import Image

from sensorium.data.media.content import format_value, read_content
from sensorium.data.media.decoding import decode, measure
from sensorium.data.media.extensions import inline_medium
from tests.data.media.films import film, gray
from tests.data.media.test_audio import encoded, sine


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)).save(file, kind)
    return file.getvalue()


MEDIA = {
    **{kind: ("image", picture(kind)) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")},
    "wav": ("audio", encoded(sine(8000, 0.2), 8000)),
    "flac": ("audio", encoded(sine(8000, 0.2), 8000, "flac", "flac")),
    "mp3": ("audio", encoded(sine(16000, 0.2), 16000, "libmp3lame", "mp3")),
    "opus": ("audio", encoded(sine(48000, 0.2), 48000, "libopus", "ogg")),
    "aac": ("audio", encoded(sine(16000, 0.2), 16000, "aac", "adts")),
    "mp4": ("video", film(gray(5))),
    "mkv": ("video", film(gray(5), kind="matroska")),
    "avi": ("video", film(gray(5), kind="avi")),
    "flv": ("video", film(gray(5), kind="flv")),
}


@pytest.mark.parametrize("name", MEDIA)
def test_a_medium_as_text_is_the_medium(name, tmp_path):
    medium, content = MEDIA[name]
    plain = base64.b64encode(content).decode()
    for text in (
        f"data:{medium}/x;base64,{plain}",
        f"DATA:;charset=utf-8;base64,{plain.rstrip('=')}",
        f" data:application/octet-stream;base64,{plain}",
        plain,
        base64.encodebytes(content).decode(),
        base64.urlsafe_b64encode(content).decode().rstrip("="),
    ):
        assert inline_medium(text) == medium
        assert read_content(text, tmp_path) == content
        assert format_value(text) == f"<{medium} in {len(text)} characters>"
    assert measure(medium, plain, tmp_path) == measure(medium, content, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a.png", "", "photos/a", "data: none", "the data:image/png of a sentence", "good thing " * 10, "a" * 64,
        base64.b64encode(bytes(range(100))).decode(), "0123456789abcdef" * 4, "iVBORw0KGgo=", "https://a.org/data:,x.png",
        "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAA is how a picture starts",
    ],
)  # fmt: skip
def test_other_text_is_no_medium(text):
    assert inline_medium(text) is None


def test_a_data_uri_of_another_kind_or_damaged_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a picture that can be read"):
        decode("image", "data:image/svg+xml,%3Csvg/%3E", tmp_path)
    with pytest.raises(ValueError, match="data URI is cut short or damaged"):
        decode("image", "data:image/png;base64,iVBO*", tmp_path)
    assert inline_medium("data:image/svg+xml,%3Csvg/%3E") == "image" and inline_medium("data:text/plain,hi") is None


@pytest.mark.parametrize("disk", ["NFC", "NFD"])
@pytest.mark.parametrize("table", ["NFC", "NFD"])
@pytest.mark.parametrize("folder", ["NFC", "NFD"])
def test_accents_in_one_code_point_or_two_name_the_same_file(disk, table, folder, tmp_path):
    (tmp_path / unicodedata.normalize(folder, "caf\u00e9")).mkdir()
    (tmp_path / unicodedata.normalize(folder, "caf\u00e9") / unicodedata.normalize(disk, "\u00fc 1.png")).write_bytes(
        b"x"
    )
    assert read_content(unicodedata.normalize(table, "caf\u00e9/\u00fc 1.png"), tmp_path) == b"x"


@pytest.mark.parametrize(
    "path",
    [
        "in/a b.png", "./in/a b.png", " in/a b.png ", "in\\a b.png", ".\\in\\a b.png", "in/a%20b.png", "in/a b.PNG",
        "in%2Fa%20b.png", "{root}/in/a b.png", "file://{root}/in/a%20b.png", "file://localhost{root}/in/a%20b.png",
        "in\\a%20b.PNG\n",
    ],
)  # fmt: skip
def test_a_path_of_another_system_is_found(path, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a b.png").write_bytes(b"x")
    assert read_content(path.replace("{root}", str(tmp_path)), tmp_path) == b"x"


def test_the_name_as_written_comes_first(tmp_path):
    for name, content in (
        ("a%20b.png", b"as written"),
        ("a b.png", b"decoded"),
        (" c.png", b"blank"),
        ("c.png", b"bare"),
    ):
        (tmp_path / name).write_bytes(content)
    assert read_content("a%20b.png", tmp_path) == b"as written"
    assert read_content(" c.png", tmp_path) == b"blank"


@pytest.mark.parametrize("address", ["http://a.org/a.png", "https://a.org/a.png?size=2", "s3://bucket/a.png"])
def test_an_address_is_refused_with_what_to_do(address, tmp_path):
    with pytest.raises(ValueError, match=r"nothing is downloaded; fetch such files first, .* img2dataset"):
        read_content(address, tmp_path)


@pytest.mark.parametrize(
    "path", ["none.png", "in/none", "a\0b.png", "x" * 5000, "%zz", "\\\\server\\a.png", "file:///no.png"]
)
def test_what_is_not_there_is_a_plain_error(path, tmp_path):
    with pytest.raises(ValueError, match="no such file|too long|null byte"):
        read_content(path, tmp_path)
