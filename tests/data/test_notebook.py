"""How a table and a model look in a notebook: short, escaped, with small pictures and players."""

import base64
import io
import re
import wave
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import sensorium
from sensorium.data import notebook
from sensorium.errors import UserError

HOSTILE = "<script>alert('x')</script>"


class Elements(HTMLParser):
    """The elements of a piece of HTML."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (400, 200), "red").save(tmp_path / "wide.png")
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.random.default_rng(0).integers(-9000, 9000, 60 * 16_000, "int16").tobytes())
    return tmp_path


def read(folder, count=30, **columns):
    records = [{"words": f"{HOSTILE} number {index}", "photo": str(folder / "wide.png")} for index in range(count)]
    kinds = {"words": "text", "photo": "image", "voice": "audio"} | dict.fromkeys(columns.keys() - {"voice"}, "text")
    kinds = {name: kind for name, kind in kinds.items() if name in records[0] | columns}
    return sensorium.read([record | columns for record in records], columns=kinds, quiet=True)


def test_a_table_says_in_a_line_what_it_is(folder):
    text = repr(read(folder))
    assert len(text) < 300 and "\n" not in text
    assert "30 records" in text and "words (text), photo (image)" in text


def test_a_wide_table_is_said_as_briefly(folder):
    table = read(folder, **{f"column of a long name {index}" * 3: "some words of text here" for index in range(40)})
    assert len(repr(table)) < 300
    html = table._repr_html_()
    assert "30 more columns." in html and html.count("<th ") == notebook.MOST_COLUMNS


def test_ten_records_are_shown_with_small_pictures_and_escaped_words(folder):
    html = read(folder)._repr_html_()
    elements = Elements(html).tags
    assert elements.count("img") == 10 and elements.count("tr") == 11 and "script" not in elements
    assert "20 more records." in html
    content = re.search(r"base64,([^\"]+)", html)[1]
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (96, 48)


def test_sounds_are_players_of_at_most_200_kilobytes(folder):
    html = read(folder, count=3, voice=str(folder / "long.wav"))._repr_html_()
    assert Elements(html).tags.count("audio") == 3
    assert all(len(content) < 200_000 for content in re.findall(r"audio/mpeg;base64,([^\"]+)", html))


def test_what_cannot_be_shown_is_text(folder):
    table = read(folder, count=3)
    (folder / "wide.png").write_bytes(b"no picture")
    html = table._repr_html_()
    assert "<img" not in html and str(folder)[:12] in html
    table.frame["photo"] = None
    assert "<img" not in table._repr_html_()


def test_a_page_is_linked_and_opened_only_when_asked(tmp_path, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(notebook.webbrowser, "open", opened.append)
    with pytest.raises(UserError, match="sensorium report"):
        notebook.show_page(tmp_path / "report.html")
    (tmp_path / "report.html").write_text("<p>")
    notebook.show_page(tmp_path / "report.html")
    uri = (tmp_path / "report.html").as_uri()
    assert capsys.readouterr().out == f"{uri}\n" and not opened
    notebook.show_page(tmp_path / "report.html", browser=True)
    assert opened == [uri]
