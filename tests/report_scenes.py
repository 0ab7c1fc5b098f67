"""The files that each documented mistake of reports starts from."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.reviews import copy, put, rows, write


def _copied(name: str, change: Callable[[Path], object]) -> Callable[[object], None]:
    """A copy of the run in runs/NAME, changed."""

    def scene(_: object) -> None:
        copy(Path("runs/reviews"), Path("runs", name))
        change(Path("runs", name))

    return scene


def _cut(run: Path) -> None:
    put(run / "metrics.json", (run / "metrics.json").read_bytes()[:100])


def _scoreless(run: Path) -> None:
    (run / "scores.parquet").unlink()


def _unfinished(run: Path) -> None:
    (run / "metrics.json").unlink()
    shutil.rmtree(run / "model")


SCENES: dict[str, Callable[[object], None]] = {
    "A run that has not finished": _copied("stopped", _unfinished),
    "The report of a file that is cut short": _copied("cut", _cut),
    "Another table than the run's": lambda _: write("other.csv", rows(24, 101)),
    "The report of a run without its scores": _copied("scoreless", _scoreless),
    "The report of something else": _copied("else", lambda run: put(run / "metrics.json", '{"few_shot": {}}')),
}
