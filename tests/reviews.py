"""A small world that the tests of the command line live in: reviews with a text, a picture, a sound and a number."""

import contextlib
import csv
import io
import os
import shlex
import shutil
import signal
import sys
import wave
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from PIL import Image

from sensorium.cli import main

COLUMNS = ("review", "photo", "voice", "price", "author", "sentiment")
GOOD = ("lovely and warm", "a fine little thing", "works very well indeed", "so good, buy it")
BAD = ("broke at once", "poor and far too loud", "would not buy it again", "sad grey plastic")
FEW = "--epochs 1 --set batch_size=8 --set refit=false --workers 0"
FIT = f"fit reviews.csv --target sentiment --column author=ignored --seed 3 {FEW}"


class Said(NamedTuple):
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


def sensorium(command: str) -> Said:
    """Runs `sensorium COMMAND` in this process, as a shell would, with its output piped.

    Raises what the command lets escape, as a bug does.
    """
    out, err = io.StringIO(), io.StringIO()
    code, handlers = 0, {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        patch.object(sys, "argv", ["sensorium", *shlex.split(command)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as left:
            code = left.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Said(code, out.getvalue(), err.getvalue())


def copy(folder: Path, to: Path) -> None:
    """A copy of a folder whose files are links, so that it takes no time: a changed file has to be a new one."""
    shutil.copytree(folder, to, copy_function=os.link)


def put(path: str | Path, content: str | bytes) -> None:
    """`content` as a new file in the place of `path`."""
    path = Path(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """`count` reviews from number `start`, good and bad in turn, by three authors."""
    return [
        {
            "review": f"{(GOOD, BAD)[index % 2][index // 2 % 4]} {index}",
            "photo": f"photos/{index % 6}.png",
            "voice": f"voices/{index % 4}.wav",
            "price": f"{3 + index * 1.5:.2f}",
            "author": ("anna", "bert", "cleo")[index // 2 % 3],
            "sentiment": ("good", "bad")[index % 2],
        }
        for index in range(start, start + count)
    ]


def write(path: str | Path, records: list[dict[str, str]]) -> None:
    """`records` as a CSV file."""
    put(path, "")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def cells(path: str) -> list[dict[str, str]]:
    """The records of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def measured(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics without the times that were measured."""
    return {name: value for name, value in metrics.items() if name not in ("cost", "out")}


def make(folder: Path) -> None:
    """reviews.csv (24 records), new.csv (4 more, without the target) and their files."""
    (folder / "photos").mkdir(parents=True)
    (folder / "voices").mkdir()
    chance = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(chance.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(folder / f"photos/{index}.png")
    for index in range(4):
        with wave.open(str(folder / f"voices/{index}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
            file.writeframes((chance.standard_normal(1600) * 3000).astype("<i2").tobytes())
    write(folder / "reviews.csv", rows(24))
    write(folder / "new.csv", [{key: value for key, value in row.items() if key != "sentiment"} for row in rows(4, 24)])
