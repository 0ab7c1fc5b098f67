"""The way of a plain fit through the code is short: docs/code.md lists the files that it enters."""

import sys
from pathlib import Path

import sensorium

SOURCE = Path(sensorium.__file__).parent
ROOMS = ("config", "build", "tasks", "runs")
MAP = Path(__file__).parents[2] / "docs" / "code.md"
MOST = 14


def test_a_plain_fit_enters_few_files_and_the_map_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"a {'good' if row % 2 else 'bad'} mug,{row * 1.5},{'yes' if row % 2 else 'no'}" for row in range(60)]
    Path("reviews.csv").write_text("\n".join(["text,price,liked", *rows]))
    options = {"target": "liked", "preset": "fast", "epochs": 1, "quiet": True}
    sensorium.fit("reviews.csv", "warm", **options)  # imports are no part of the way
    entered = set()

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(SOURCE) and path.relative_to(SOURCE).parts[0] in ROOMS:
            entered.add(path.relative_to(SOURCE).as_posix())

    sys.setprofile(note)
    try:
        sensorium.fit("reviews.csv", "run", **options)
    finally:
        sys.setprofile(None)
    assert 8 <= len(entered) <= MOST, sorted(entered)
    text = MAP.read_text(encoding="utf-8")
    assert not [path for path in sorted(entered) if f"`{path}`" not in text]
