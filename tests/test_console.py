"""Cells as tables and sentences show them."""

import errno
import io
import os
import re
import sys

import numpy as np
import pytest
from rich.table import Table
from rich.text import Text

from sensorium.console import Console, shorten
from sensorium.errors import UserError
from sensorium.evaluation.saving import text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (b"12345", "5 bytes"),
        (np.zeros((2, 3), dtype=np.float32), "array 2x3 float32"),
        (np.float64(1.5), "1.5"),
        ("two\n lines", "two lines"),
        ("x" * 31, "x" * 27 + "..."),
        ("x" * 30, "x" * 30),
        ([1, 2], "[1, 2]"),
    ],
)
def test_a_cell_is_shown_on_one_line_in_thirty_letters(value, text):
    assert shorten(value) == text


class Stream(io.StringIO):
    """A stream of another encoding than UTF-8, or one that refuses."""

    def __init__(self, encoding="utf-8", error=None):
        super().__init__()
        self._encoding, self.error = encoding, error

    @property
    def encoding(self):
        return self._encoding

    def write(self, text):
        if self.error:
            raise self.error
        text.encode(self._encoding)  # strict, as Python's own streams
        return super().write(text)


@pytest.mark.parametrize(
    "name", ["size [mm]", "flow [/h]", "[/]", "C:\\[/b]", ":smile:", "[bold]x", "[link=a]b[/link]"]
)
def test_a_name_is_printed_as_it_is_wherever_it_stands(name, capsys):
    console, table = Console(), Table(name, title=name, caption=name)
    table.add_row(name)
    table.add_row(Text(name))
    console.print_table(table)
    console.print(name)
    assert capsys.readouterr().out.count(name) == 6
    assert text(table).count(name) == 5
    with (
        console.spinner(name),
        console.progress(name, 2) as advance,
        console.training_progress(name, 1, 2, 1) as report,
    ):
        advance(1)
        report({"epoch": 0, "step": 1, "loss": 1.0})


@pytest.mark.parametrize("live", ["spinner", "progress", "training_progress"])
def test_brackets_and_braces_of_a_live_line_are_text(live, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr", Stream())
    arguments = {"spinner": (), "progress": (2,), "training_progress": (1, 2, 1)}[live]
    with getattr(Console(), live)("a [/b] {c}", *arguments):
        pass
    assert "a [/b] {c}" in re.sub(r"\x1b\[[0-9;?]*\w", "", sys.stderr.getvalue())


def test_control_characters_of_a_cell_do_not_reach_the_terminal(capsys):
    table = Table("x")
    table.add_row(Text("a\x1b[31mb\x00c\rd"))
    Console().print_table(table)
    out = capsys.readouterr().out
    assert not set("\x1b\x00\r") & set(out) and "a\N{REPLACEMENT CHARACTER}[31mb" in out


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_letters_that_the_output_lacks_are_written_as_codes(encoding, monkeypatch):
    monkeypatch.setattr("sys.stdout", Stream(encoding))
    table = Table("é — \ud800 日本", title="█ →")
    Console().print_table(table)
    shown = {"latin-1": "é \\u2014 \\ud800", "ascii": "\\xe9 \\u2014 \\ud800", "utf-8": "é — \\ud800"}
    assert shown[encoding] in sys.stdout.getvalue()


def test_a_reader_that_has_gone_stops_nobody_and_a_full_disk_is_a_sentence(monkeypatch):
    monkeypatch.setattr("sys.stdout", Stream(error=BrokenPipeError()))
    Console().print("x")
    monkeypatch.setattr("sys.stdout", Stream(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(UserError, match="^Cannot write standard output: No space left on device; make room"):
        Console().print("x")
    monkeypatch.setattr("sys.stdout", None)
    Console().print("x")


@pytest.mark.parametrize("columns", ["0", "1", "7"])
def test_a_narrow_terminal_has_forty_columns(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    Console().print("a sentence of more than one word")
    assert capsys.readouterr().out == "a sentence of more than one word\n"
