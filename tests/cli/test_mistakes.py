"""The mistakes of docs/mistakes.md, each made as the page says and answered with the page's sentence.

The page is the list: a command (or Python) and its sentence under each heading. Here is only what has to be so before.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import sensorium as api
from tests import (
    clip_scenes,
    encoder_scenes,
    film_scenes,
    media_scenes,
    objective_scenes,
    pretraining_scenes,
    projection_scenes,
    published_scenes,
    reading_scenes,
    report_scenes,
    search_scenes,
    source_scenes,
    training_scenes,
    warm_scenes,
    zero_shot_scenes,
)
from tests.reviews import FEW, FIT, cells, measured, put, rows, sensorium, write

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
BLOCK = re.compile(r"^### (?P<title>[^\n]+)\n[^`#]*```(?P<kind>console|pycon)\n(?P<body>[^`]*)```", re.M)
ERROR = "sensorium.errors.UserError: "


class Mistake(NamedTuple):
    """A mistake of the page: the command or the lines of Python, and the sentence, with … for what varies."""

    title: str
    given: list[str]
    sentence: str

    def is_said_in(self, said: str) -> bool:
        """Whether `said` is the sentence."""
        return re.fullmatch(re.escape(self.sentence).replace("…", ".+"), said) is not None


def mistakes(kind: str) -> list[Mistake]:
    """The mistakes of the page that are made on the command line (`console`) or in Python (`pycon`)."""
    found = []
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        if block["kind"] == kind:
            *given, sentence = block["body"].strip().splitlines()
            found.append(Mistake(block["title"], given, sentence))
    return found


COMMANDS, PYTHON = mistakes("console"), mistakes("pycon")


class Scene:
    """The world before a mistake. `undo` holds what has to be undone after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, undo: ExitStack):
        self.monkeypatch, self.undo = monkeypatch, undo

    def disk(self, folder: str, options: str) -> None:
        """Mounts a small disk of memory on `folder`; skips the test where that is not allowed."""
        Path(folder).mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs to mount a small disk, which is not allowed here: {done.stderr.strip()}")
        self.undo.callback(subprocess.run, ["umount", "-l", str(Path(folder).absolute())], check=True)


def changed(table: str = "reviews.csv", **columns: Callable[[int], str | None]) -> Callable[[Scene], None]:
    """The table with other cells: by column, the new one of row i (from 0), or None to leave it."""

    def change(scene: Scene) -> None:
        records = rows(24) if table == "reviews.csv" else [row | {"sentiment": ""} for row in rows(4, 24)]
        for index, record in enumerate(records):
            given = {name: cell(index) for name, cell in columns.items()}
            record |= {name: cell for name, cell in given.items() if cell is not None}
        write(table, records)

    return change


def file(path: str, content: str | bytes) -> Callable[[Scene], None]:
    """A file with this content."""
    return lambda scene: put(path, content)


def cut(path: str, share: float) -> Callable[[Scene], None]:
    """The first part of a file."""
    return lambda scene: put(path, (whole := Path(path).read_bytes())[: int(len(whole) * share)])


def renamed(scene: Scene) -> None:
    put("reviews.csv", Path("reviews.csv").read_text().replace("sentiment", "absent"))


def bomb() -> bytes:
    """A small PNG whose header says 10,000 x 10,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def locked(scene: Scene) -> None:
    """A folder nobody may write to; the administrator may write to any but one on a disk that is read only."""
    if os.geteuid() == 0:
        scene.disk("locked", "ro,size=64k")
    else:
        Path("locked").mkdir(0o555)


def full(scene: Scene) -> None:
    """A disk that is full to the last byte."""
    scene.disk("full", "size=64k")
    with pytest.raises(OSError, match="No space left"), open("full/filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


SCENES: dict[str, Callable[[Scene], None]] = (
    {
        "The file is of a kind that is not read": file("reviews.ods", "PK"),
        "The file is empty": file("empty.csv", ""),
        "The file has column names and no records": file("names.csv", "review,sentiment\n"),
        "A title stands above the column names": file(
            "titled.csv", "Reviews of May\nreview,sentiment\nlovely,good\npoor,bad\n"
        ),
        "A row has more fields than there are columns": file(
            "commas.csv", "review,sentiment\nlovely,good\ngood, but late,bad\n"
        ),
        "The file is not UTF-8": file("latin.csv", b"review,sentiment\n\xfcber\x81,good\npoor,bad\n"),
        "The target is the same in every row": changed(sentiment=lambda row: "good"),
        "The target is empty in every row": changed(sentiment=lambda row: ""),
        "The target has the name of a column of predictions": renamed,
        "None of the records held out has the target": changed(sentiment=lambda row: "" if row // 2 % 3 == 0 else None),
        "A column is ambiguous": changed(photo=lambda row: "see below" if row % 2 else None),
        "The group column has holes": changed(author=lambda row: "" if row == 2 else None),
        "There are too few groups to split": changed(author=lambda row: ("anna", "bert")[row % 2]),
        "A file is not there": changed(photo=lambda row: "photos/no.png" if row == 4 else None),
        "A picture is no picture": file("photos/2.png", "no picture"),
        "A picture is cut short": cut("photos/2.png", 0.5),
        "A picture is far too large": file("photos/2.png", bomb()),
        "A sound is no sound": file("voices/2.wav", b"RIFF\x00\x00\x00\x00WAVEno sound"),
        "Every record is bad": changed(photo=lambda row: f"photos/no-{row}.png"),
        "There is no graphics card": lambda scene: scene.monkeypatch.setattr(torch.cuda, "device_count", lambda: 0),
        "The recipe is not YAML": file("fit.yaml", "training:\n  epochs: [1\n"),
        "The recipe is empty": file("fit.yaml", ""),
        "The recipe has an unknown part": file("fit.yaml", "trainin:\n  epochs: 3\n"),
        "The recipe has an unknown setting": file("fit.yaml", "training:\n  epoch: 3\n"),
        "A part of the recipe is one value": file("fit.yaml", "training: 3\n"),
        "The state of a stopped run is damaged": file("runs/reviews/last/position.json", '{"fingerprint": '),
        "The weights of a stopped run are damaged": cut("runs/reviews/last/best.safetensors", 0.5),
        "The records have changed since the run was stopped": changed(price=lambda row: "7.77" if row == 2 else None),
        "The folder cannot be written": locked,
        "The disk is full": lambda scene: scene.disk("small", "size=256k"),
        "The disk is full at prediction": full,
        "The weights are damaged": cut("runs/reviews/model/model.safetensors", 0.5),
        "A part of the checkpoint was not copied": lambda scene: shutil.rmtree("runs/reviews/model/processors"),
        "The checkpoint's description was edited": file("runs/reviews/model/model.json", "{'encoders': []}"),
        "The table has none of the model's columns": file("new.csv", "comment,cost\nlovely,3\n"),
        "There is text in a column of numbers": changed("new.csv", price=lambda row: "cheap" if row == 1 else None),
        "A file is not there at prediction": changed("new.csv", photo=lambda row: "photos/no.png"),
        "The target to evaluate is empty in every row": changed(sentiment=lambda row: ""),
        "The table to evaluate has a label that the model does not know": changed(
            sentiment=lambda row: "goood" if row == 2 else None
        ),
        "A model that chooses is given other answers": file("answers.txt", "yes\nno\n"),
        "The file of answers is empty": file("answers.txt", "\n"),
    }
    | film_scenes.SCENES
    | media_scenes.SCENES
    | source_scenes.SCENES
    | encoder_scenes.SCENES
    | warm_scenes.SCENES
    | reading_scenes.SCENES
    | report_scenes.SCENES
    | training_scenes.SCENES
    | clip_scenes.SCENES
    | pretraining_scenes.SCENES
    | projection_scenes.SCENES
    | published_scenes.SCENES
    | search_scenes.SCENES
    | zero_shot_scenes.SCENES
    | objective_scenes.SCENES
)


@pytest.fixture
def scene(world: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with ExitStack() as undo:
        yield Scene(monkeypatch, undo)


def titles(found: list[Mistake]) -> list[str]:
    return [mistake.title for mistake in found]


def test_the_page_and_the_scenes_belong_together():
    assert len(COMMANDS) + len(PYTHON) == len(re.findall(r"^### ", PAGE.read_text(encoding="utf-8"), re.M)) >= 24
    assert SCENES.keys() <= set(titles(COMMANDS))
    assert len(set(titles(COMMANDS + PYTHON))) == len(COMMANDS + PYTHON)


@pytest.mark.parametrize("mistake", COMMANDS, ids=titles(COMMANDS))
def test_a_mistake_on_the_command_line_gets_its_sentence(mistake: Mistake, scene: Scene):
    SCENES.get(mistake.title, lambda scene: None)(scene)
    (command,) = mistake.given
    before = whole_things()
    said = sensorium(command.removeprefix("$ sensorium "))
    *warned, sentence = said.err.strip().splitlines()
    assert said.code == 2
    assert mistake.is_said_in(sentence), sentence
    assert all(line.startswith("sensorium: ") for line in warned), said.err
    assert whole_things() == before
    assert not list(Path.cwd().rglob(".*")), "something half-written is left"


def whole_things() -> list[Path]:
    """What only a command that went well leaves."""
    names = ("model/model.json", "metrics.json", "scores.parquet", "predictions.*")
    return sorted(path for name in names for path in Path.cwd().rglob(name))


@pytest.mark.parametrize("mistake", PYTHON, ids=titles(PYTHON))
def test_a_mistake_in_python_gets_its_sentence(mistake: Mistake, world: Path):
    *before, last = [line.removeprefix(">>> ") for line in mistake.given]
    names = {"sensorium": api}
    for line in before:
        exec(line, names)
    with pytest.raises(api.UserError) as raised:
        exec(last, names)
    assert mistake._replace(sentence=mistake.sentence.removeprefix(ERROR)).is_said_in(str(raised.value)), raised.value


def test_the_mended_command_follows_as_it_was(world: Path):
    photo = Path("photos/2.png").read_bytes()
    Path("photos/2.png").unlink()
    assert sensorium(f"{FIT} --out runs/again").code == 2
    put("photos/2.png", photo)
    assert sensorium(f"{FIT} --out runs/again").code == 0


def test_a_finished_run_that_was_resumed_with_other_records_still_goes_on_with_its_own(world: Path):
    changed(price=lambda row: "7.77" if row == 2 else None)(None)
    assert sensorium("fit --resume --out runs/reviews").code == 2
    assert not Path("runs/reviews/start").exists()
    write("reviews.csv", rows(24))
    metrics = json.loads(Path("runs/reviews/metrics.json").read_text())
    assert sensorium("fit --resume --out runs/reviews").code == 0
    assert measured(json.loads(Path("runs/reviews/metrics.json").read_text())) == measured(metrics)


def test_a_disk_that_is_full_in_training_stops_it_and_with_room_it_goes_on(scene: Scene):
    scene.disk("small", "size=16m")  # the model has room, its state with that of the optimiser has none
    said = sensorium(f"{FIT} --out small/run")
    assert said.code == 2
    assert said.err.endswith(
        "Cannot write small/run/last: No space left on device; make room or choose another place.\n"
    )
    assert not Path("small/run/last").exists()
    assert not list(Path("small").rglob(".*"))
    subprocess.run(["mount", "-o", "remount,size=96m", "small"], check=True)
    assert sensorium(f"{FIT} --out small/run --resume").code == 0
    found = [json.loads(Path(run, "metrics.json").read_text()) for run in ("small/run", "runs/reviews")]
    assert measured(found[0]) == measured(found[1])


def test_resume_where_nothing_is_begins_and_says_so(world: Path):
    said = sensorium(f"{FIT} --resume --out runs/another")
    assert said.code == 0
    assert "There is no run in runs/another yet, so this one begins from the start." in said.out
    shutil.rmtree("runs/another/last")  # as of a run that was killed before its first state
    said = sensorium(f"{FIT} --out runs/another --resume")
    assert "No state of training was saved yet, so training begins from the start." in said.out


def test_bad_records_are_set_aside_and_listed(world: Path):
    changed(photo=lambda row: "photos/no.png" if row == 4 else None)(None)
    put("voices/3.wav", "no sound")
    said = sensorium(f"{FIT} --bad-records skip --out runs/skipped")
    assert said.code == 0
    assert "7 records set aside; runs/skipped/bad_records.csv says why." in said.out
    listed = cells("runs/skipped/bad_records.csv")
    assert [int(bad["row"]) for bad in listed] == [4, 5, 8, 12, 16, 20, 24]
    assert listed[1] == {"row": "5", "column": "photo", "value": "photos/no.png", "reason": "there is no such file"}


def test_bad_records_are_listed_at_prediction_and_evaluation_too(world: Path):
    records = rows(6)
    records[1]["photo"] = "photos/no.png"
    write("test.csv", records)
    said = sensorium("predict runs/reviews test.csv --out out/predictions.csv --bad-records skip")
    assert said.code == 0
    assert said.out == "5 predictions in out/predictions.csv; 1 record set aside, out/bad_records.csv says why.\n"
    assert [row["key"] for row in cells("out/predictions.csv")] == ["1", "3", "4", "5", "6"]
    assert sensorium("evaluate runs/reviews test.csv --bad-records skip --out scored").code == 0
    for folder in ("out", "scored"):
        assert (
            Path(folder, "bad_records.csv").read_text().splitlines()[1] == "2,photo,photos/no.png,there is no such file"
        )


def test_an_input_may_be_absent_everywhere_at_prediction(world: Path):
    put("new.csv", "review,price\nlovely,3\n,\n")
    assert sensorium("predict runs/reviews new.csv --out out.csv").code == 0
    assert [row["absent"] for row in cells("out.csv")] == ["photo|voice", "review|photo|voice|price"]


def test_a_column_that_is_nearly_the_models_gets_a_warning(world: Path):
    put("new.csv", "reviews,price\nlovely,3\n")
    said = sensorium("predict runs/reviews new.csv")
    assert said.code == 0
    assert said.err == (
        "sensorium: new.csv has no column 'review', so it is absent in every row; its column 'reviews' is not read,"
        " as the model does not know that name.\n"
        "sensorium: new.csv has no column 'photo', 'voice', which the model reads; absent in every row.\n"
    )


ODD = {"type": "review", "items": "photo", "a.b": "price", "a/b": "voice", "über": "author", "gefällt's?": "sentiment"}


def test_columns_may_have_any_name(world: Path):
    write("odd.csv", [{odd: row[name] for odd, name in ODD.items()} for row in rows(24)])
    assert sensorium(f'fit odd.csv --target "gefällt\'s?" --out runs/odd {FEW}').code == 0
    assert sensorium("evaluate runs/odd odd.csv --out runs/odd/again").code == 0
    assert sensorium("predict runs/odd odd.csv --out odd.parquet").code == 0
    model = api.load("runs/odd")
    assert model.encoders.names == ["type", "items", "a.b", "a/b", "über"]
    assert model.predict([{"über": "anna"}])[0]["absent"] == ["type", "items", "a.b", "a/b"]
    assert model.embed([{"items": "photos/1.png"}], "items").shape[0] == 1
