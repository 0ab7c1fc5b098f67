"""What a command says while it works: tables and sentences to standard output, live lines to standard error."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment

from sensorium.errors import printable
from sensorium.files import writing

PIPED_WIDTH, DETAILS_WIDTH, LEAST_WIDTH = 100, 140, 40
LONG = 5.0  # seconds from which a stage is worth a line where no live line is drawn
CELL_LETTERS = 30
_DESCRIPTION = "{task.description}"
StepCallback = Callable[[dict[str, Any]], None]
"""Called after every step of training with its figures, by name."""


class Output:
    """A stream that takes any text: a letter that its encoding lacks is written as its code, and a reader that has gone
    away stops nobody. Raises UserError when the disk refuses.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes `text`."""
        encoding = self._stream.encoding or "utf-8"
        encodable = text.encode(encoding, "backslashreplace").decode(encoding)
        self._try(self._stream.write, encodable)
        return len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        self._try(self._stream.flush)

    def _try(self, method: Callable[..., Any], *arguments: str) -> None:
        with writing(Path("standard output")), suppress(BrokenPipeError):
            method(*arguments)


class PlainConsole(RichConsole):
    """Rich, to which brackets, colons and control characters in names, labels and cells are text like any other."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of `renderable`, without control characters of its own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class Console:
    """Prints nothing when `quiet`, and what is of interest to few only with `details`. Draws live lines on a terminal,
    and in a notebook that has ipywidgets; elsewhere a line an epoch, and one after each long stage.
    """

    def __init__(self, quiet: bool = False, details: bool = True):
        self.details = details
        self.out = PlainConsole(quiet=quiet, file=None if sys.stdout is None else Output(sys.stdout))
        piped_width = DETAILS_WIDTH if details else PIPED_WIDTH
        self.out.width = max(self.out.width, LEAST_WIDTH) if self.out.is_terminal else piped_width
        self.live = PlainConsole(stderr=True, quiet=quiet)
        widgets = self.live.is_jupyter and find_spec("ipywidgets") is not None  # draw live lines in a notebook
        self.draws = (self.live.is_terminal or widgets) and not quiet

    def print(self, sentence: str) -> None:
        """One line to standard output."""
        self.out.print(sentence)

    def print_unbroken(self, line: str) -> None:
        """A line that is copied as it is, an address or a command, however long."""
        self.out.print(line, soft_wrap=True)

    def print_table(self, table: RenderableType) -> None:
        """A table to standard output."""
        self.out.print(table)

    def print_detail(self, what: RenderableType) -> None:
        """A line or a table that only `details` asks for."""
        if self.details:
            self.out.print(what)

    @contextmanager
    def spinner(self, description: str) -> Iterator[None]:
        """A spinner while the block runs."""
        began = time.monotonic()
        with self._live_line(TextColumn(_DESCRIPTION, markup=False), TimeElapsedColumn()) as progress:
            progress.add_task(description, total=None)
            yield
        seconds = time.monotonic() - began
        if not self.draws and seconds > LONG:
            self.live.print(f"{description}: {seconds:.0f} s.")

    @contextmanager
    def progress(self, description: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over `total` records; gives the function that moves it on."""
        columns = (TextColumn(_DESCRIPTION, markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with self._live_line(*columns) as progress:
            task = progress.add_task(description, total=total)
            yield lambda count: progress.advance(task, count)

    @contextmanager
    def training_progress(self, description: str, epochs: int, records: int, batch_size: int) -> Iterator[StepCallback]:
        """The live line of training: loss, validation score, records a second, time left."""
        columns = (
            TextColumn(_DESCRIPTION, markup=False), BarColumn(bar_width=20), TextColumn("{task.fields[line]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        with self._live_line(*columns) as progress:
            task = progress.add_task(description, total=epochs * records, line="")
            latest: dict[str, Any] = {}
            epoch_lines = EpochLines(self.live, description, epochs)

            def report(figures: dict[str, Any]) -> None:
                latest.update(figures)
                if not self.draws:
                    epoch_lines(figures)
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


class EpochLines:
    """Prints a line for each epoch that ends: loss, validation score and the time left."""

    def __init__(self, console: PlainConsole, description: str, epochs: int):
        self.console, self.description, self.epochs = console, description, epochs
        self.began, self.first, self.loss = time.monotonic(), None, float("nan")

    def __call__(self, figures: dict[str, Any]) -> None:
        """Takes the figures of a step, or of a validation."""
        epoch, self.loss = figures["epoch"], figures.get("loss", self.loss)
        self.first = epoch if self.first is None else self.first
        if figures["step"] or epoch == self.first:
            return
        left = (time.monotonic() - self.began) / (epoch - self.first) * (self.epochs - epoch)
        score = f", validation {figures['validation']:.3f}" if "validation" in figures else ""
        time_left = f", at most {left / 60:.0f} min left" if left >= 90 else f", at most {left:.0f} s left"
        line = f"{self.description}: epoch {epoch} of {self.epochs}, loss {self.loss:.3f}{score}"
        self.console.print(line + (time_left if epoch < self.epochs else "") + ".")


def shorten(value: Any, letters: int = CELL_LETTERS) -> str:
    """A cell on one line, in at most so many letters: bytes and arrays by their size, nothing for None and NaN."""
    if isinstance(value, bytes):
        text = f"{len(value)} bytes"
    elif getattr(value, "shape", ()):  # an array's
        text = f"array {'x'.join(map(str, value.shape))} {value.dtype}"
    else:
        text = "" if value is None or value != value else " ".join(str(value).split())
    return text if len(text) <= letters else text[: letters - 3] + "..."
