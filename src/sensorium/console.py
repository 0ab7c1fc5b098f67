"""What a command says while it works: tables and sentences to standard output, live lines to standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PIPED_WIDTH = 140
CELL_LETTERS = 30
StepCallback = Callable[[dict[str, Any]], None]
"""Called after every step of training with its figures, by name."""


class Console:
    """Prints nothing when `quiet`; draws live lines only on a terminal."""

    def __init__(self, quiet: bool = False):
        terminal = RichConsole().is_terminal
        self.out = RichConsole(quiet=quiet, width=None if terminal else PIPED_WIDTH, highlight=False)
        self.live = RichConsole(stderr=True, quiet=quiet)
        self.draws = self.live.is_terminal and not quiet

    def print(self, sentence: str) -> None:
        """One line to standard output."""
        self.out.print(sentence, markup=False)

    def print_table(self, table: RenderableType) -> None:
        """A table to standard output."""
        self.out.print(table)

    @contextmanager
    def spinner(self, description: str) -> Iterator[None]:
        """A spinner while the block runs."""
        with self._live_line(TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
            progress.add_task(description, total=None)
            yield

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over `total` records; gives the function that moves it on."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with self._live_line(*columns) as progress:
            task = progress.add_task(description, total=total)
            yield lambda count: progress.advance(task, count)

    @contextmanager
    def training_progress(self, description: str, epochs: int, records: int, batch_size: int) -> Iterator[StepCallback]:
        """The live line of training: loss, validation score, records a second, time left."""
        columns = (
            TextColumn(description), BarColumn(bar_width=20), TextColumn("{task.fields[line]}"), TimeRemainingColumn(),
        )  # fmt: skip
        with self._live_line(*columns) as progress:
            task = progress.add_task(description, total=epochs * records, line="")
            latest: dict[str, Any] = {}

            def report(figures: dict[str, Any]) -> None:
                latest.update(figures)
                done = min(latest["epoch"] * records + latest["step"] * batch_size, epochs * records)
                speed = progress.tasks[task].speed
                words = [
                    f"epoch {min(latest['epoch'] + 1, epochs)}/{epochs}",
                    f"loss {latest.get('loss', float('nan')):.3f}",
                ]
                words += [f"validation {latest['validation']:.3f}"] if "validation" in latest else []
                words += [f"{speed:.0f} records/s"] if speed else []
                progress.update(task, completed=done, line=", ".join(words))

            yield report

    @contextmanager
    def _live_line(self, *columns: Any) -> Iterator[Progress]:
        with Progress(*columns, console=self.live, transient=True, disable=not self.draws) as progress:
            yield progress


def shorten(value: Any, letters: int = CELL_LETTERS) -> str:
    """A cell on one line, in at most so many letters: bytes and arrays by their size, nothing for None and NaN."""
    if isinstance(value, bytes):
        text = f"{len(value)} bytes"
    elif getattr(value, "shape", ()):  # an array's
        text = f"array {'x'.join(map(str, value.shape))} {value.dtype}"
    else:
        text = "" if value is None or value != value else " ".join(str(value).split())
    return text if len(text) <= letters else text[: letters - 3] + "..."
