"""What a run says while it works: tables and sentences to standard output, live lines to standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Printed

from sensorium.config.schema import InputSettings, Recipe
from sensorium.data.table import Table
from sensorium.encoders.audio_processor import AudioProcessor
from sensorium.errors import counted
from sensorium.model import Model, is_frozen
from sensorium.training.settings import TrainingSettings
from sensorium.training.state import TrainingState

if TYPE_CHECKING:
    from sensorium.runs.run import Run

PIPED_WIDTH = 140
StepCallback = Callable[[dict[str, Any]], None]
"""What hears of every step of training: its figures, by name."""


class Console:
    """Says nothing when `quiet`; draws live lines only on a terminal."""

    def __init__(self, quiet: bool = False):
        out = RichConsole()
        self.out = RichConsole(quiet=quiet, width=None if out.is_terminal else PIPED_WIDTH, highlight=False)
        self.live = RichConsole(stderr=True, quiet=quiet)
        self.draws = self.live.is_terminal and not quiet

    def print(self, sentence: str) -> None:
        """One line to standard output."""
        self.out.print(sentence, markup=False)

    def print_table(self, what: RenderableType) -> None:
        """A table to standard output."""
        self.out.print(what)

    @contextmanager
    def spinner(self, what: str) -> Iterator[None]:
        """A spinner while the block runs."""
        with self._progress(TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
            progress.add_task(what, total=None)
            yield

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over `total` records; gives the function that moves it on."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with self._progress(*columns) as progress:
            task = progress.add_task(what, total=total)
            yield lambda count: progress.advance(task, count)

    def plan(self, recipe: Recipe, model: Model, counts: dict[str, int], precision: str, reason: str) -> None:
        """What will be trained on what."""
        printed = Printed("part", "what", "weights", title="The model", title_justify="left")
        for name, encoder in model.encoders.items():
            state = _state(encoder, recipe.inputs.get(name, InputSettings()), recipe.cache)
            printed.add_row(f"input {name}", type(encoder).__name__, f"{_count(encoder)}, {state}")
        for name, projection in model.projections.items():
            printed.add_row(f"projection {name}", f"{projection.out_features} wide", f"{_count(projection)}, trained")
        if model.fusion is not None:
            name = recipe.fusion.name if recipe.family is None else type(model.fusion).__name__
            printed.add_row("fusion", name, f"{_count(model.fusion)}, trained")
        for name, head in model.heads.items():
            printed.add_row(
                f"{'target' if model.decides else 'head'} {name}", type(head).__name__, f"{_count(head)}, trained"
            )
        self.print_table(printed)
        for name, encoder in model.encoders.items():
            if isinstance(encoder.processor, AudioProcessor):
                self.print(f"Input {name}: {encoder.processor.of_long_clips}.")
        parts = ", ".join(f"{count} {name}" for name, count in counts.items())
        training = recipe.training
        self.print(
            f"Records: {parts}. Up to {counted(training.epochs, 'epoch')} of"
            f" {counted(training.batch_size, 'record')} a step, {precision} ({reason})."
        )

    @contextmanager
    def training(self, what: str, settings: TrainingSettings, records: int) -> Iterator[StepCallback]:
        """The live line of training: loss, validation score, records a second, time left."""
        columns = (
            TextColumn(what), BarColumn(bar_width=20), TextColumn("{task.fields[line]}"), TimeRemainingColumn(),
        )  # fmt: skip
        with self._progress(*columns) as progress:
            epochs = settings.epochs or 1
            task = progress.add_task(what, total=epochs * records, line="")
            latest: dict[str, Any] = {}

            def report(figures: dict[str, Any]) -> None:
                latest.update(figures)
                done = min(latest["epoch"] * records + latest["step"] * (settings.batch_size or 1), epochs * records)
                speed = progress.tasks[task].speed
                words = [
                    f"epoch {min(latest['epoch'] + 1, epochs)}/{epochs}",
                    f"loss {latest.get('loss', float('nan')):.3f}",
                ]
                words += [f"validation {latest['validation']:.3f}"] if "validation" in latest else []
                words += [f"{speed:.0f} records/s"] if speed else []
                progress.update(task, completed=done, line=", ".join(words))

            yield report

    def finished(
        self,
        run: "Run",
        part: str,
        position: TrainingState,
        chosen: bool,
        shown: list[RenderableType],
        commands: list[str],
    ) -> None:
        """The report and what is `shown` after it, where all of it is, and the commands that may follow.

        chosen: whether the validation records chose the epoch.
        """
        best, refit = position.best_epoch + 1, (run.folder / "refit").exists()
        self.print(
            f"Trained for {counted(position.epoch, 'epoch')}"
            + (f", of which epoch {best} was the best" if position.epoch > 1 and chosen else "")
            + (f"; then anew on training and validation records for {best}" if refit else "")
            + f"; {position.seconds:.0f} s in all."
        )
        if part == "validation":
            self.print(
                "Scored on the validation records"
                + (", by the model that had not learned from them" if refit else "")
                + ("; they chose the epoch, so a little too well: hold records out with --test 0.2." if chosen else ".")
            )
        self.print_table(run.report)
        for one in shown:
            self.print_table(one)
        self.print(f"Saved in {run.folder}: model/, recipe.yaml, metrics.json, scores.parquet, log.csv, report.html.")
        self.print("\n  ".join(["Next:", *commands]))

    @contextmanager
    def _progress(self, *columns: Any) -> Iterator[Progress]:
        with Progress(*columns, console=self.live, transient=True, disable=not self.draws) as progress:
            yield progress


def sample_predictions(model: Model, table: Table) -> Printed:
    """Predictions of the first five records, beside what is true."""
    few = table.take(range(min(5, len(table))))
    shown = list(dict.fromkeys(name for spec in table.schema.inputs for name in spec.columns))
    printed = Printed("record", *shown, title="Five predictions", title_justify="left")
    for spec in table.schema.targets:
        printed.add_column(spec.name)
        printed.add_column(f"predicted {spec.name}")
    for index, predicted in enumerate(model.predict(few)):
        cells = [few.keys[index], *(shorten(few.frame[name].iloc[index]) for name in shown)]
        for spec in table.schema.targets:
            cells += [shorten(few.frame[spec.name].iloc[index]), _decided(predicted[spec.name])]
        printed.add_row(*(cell.replace("[", "\\[") for cell in cells))
    return printed


def _decided(predicted: dict[str, Any]) -> str:
    decision = predicted["decision"]
    if isinstance(decision, list):
        return ", ".join(decision) or "none"
    if "probabilities" in predicted:
        return f"{decision} ({predicted['probabilities'][decision]:.2f})"
    if "probability" in predicted:
        return f"{decision} ({predicted['probability']:.2f})"
    return f"{decision:.3g}"


def shorten(value: Any) -> str:
    """A cell in at most 30 characters."""
    text = f"{len(value)} bytes" if isinstance(value, bytes) else "" if value is None or value != value else str(value)
    return text if len(text) <= 30 else text[:27] + "..."


def _state(encoder: Any, settings: InputSettings, cache: bool) -> str:
    """What is trained of an encoder, and what is kept of its input."""
    if not is_frozen(encoder):
        adapters = sum(one.numel() for one in encoder.parameters() if one.requires_grad)
        return "trained" if settings.adapter is None else f"of which the {adapters:,} of adapters are trained"
    if not cache:
        return "frozen"
    views = "not augmented" if settings.views == 1 else f"{settings.views} views of each record, all but one augmented"
    return f"frozen, features cached, {views}"


def _count(module: Any) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"
