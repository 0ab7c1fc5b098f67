"""The result of a comparison: a table of candidates, every two of them, and a verdict in plain words."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number, join_names
from sensorium.evaluation.notebook import Panels, Plot, figures_html, figures_text, plot
from sensorium.evaluation.printing import between, titled_table
from sensorium.evaluation.saving import save, text
from sensorium.evaluation.verdict import above_chance
from sensorium.metrics import INTERVAL, Difference, Value


class Contender(NamedTuple):
    """One candidate: the mean of its scores with interval and chance level, and what it costs.

    without: the input that it does not get, None where it gets all. parameters: trained ones. seconds: of a training,
    the median. latency_ms: from one record's tensors to its decision, the median. diverged: of so many trainings.
    """

    name: str
    fusion: str
    without: str | None
    value: Value
    parameters: int
    seconds: float
    latency_ms: float
    diverged: int


@dataclass(frozen=True)
class Comparison:
    """Candidates that were trained on the same folds and seeds; print it, read it as a dictionary, save it.

    measure: what the scores are, by their mean over records. contenders: the best first. differences: every two of
    them, corrected for their number. samples: what becomes scores.parquet, one row a record and candidate.
    """

    target: str
    measure: str
    records: int
    clusters: int
    group: str | None
    folds: int
    seeds: int
    contenders: list[Contender]
    differences: list[Difference]
    samples: pa.Table

    @property
    def verdict(self) -> list[str]:
        """Sentences: which cannot be told apart, which are beaten and by how much, which to take, which input drags."""
        return [*_ranking_sentences(self), *_input_sentences(self)]

    def between(self, a: str, b: str) -> Difference:
        """How much better `a` is than `b`."""
        for difference in self.differences:
            if (difference.a, difference.b) == (a, b):
                return difference
            if (difference.b, difference.a) == (a, b):
                value = difference.value
                negated = (None if number is None else -number for number in (value.value, value.high, value.low))
                return Difference(a, b, Value(*negated, 0.0), difference.p, difference.corrected)
        raise KeyError(f"{a} and {b} were not compared")

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return {
            "comparison": {
                "target": self.target,
                "measure": self.measure,
                "records": self.records,
                "clusters": self.clusters,
                "group": self.group,
                "folds": self.folds,
                "seeds": self.seeds,
                "candidates": [_plain(contender) for contender in self.contenders],
                "differences": [_plain(difference) for difference in self.differences],
                "verdict": self.verdict,
            }
        }

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """The comparison that `save` wrote, but for the samples."""
        saved = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))["comparison"]
        saved.pop("verdict")
        contenders = [Contender(**_with_value(fields)) for fields in saved.pop("candidates")]
        differences = [Difference(**_with_value(fields)) for fields in saved.pop("differences")]
        return cls(**saved, contenders=contenders, differences=differences, samples=pa.table({}))

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = (
            f"{self.target}: {self.measure} of {counted(self.records, 'record')}, {self.folds} folds,"
            f" {counted(self.seeds, 'seed')}"
        )
        headers = ["candidate", "mean", INTERVAL, "chance", "parameters", "training", "one record"]
        table = titled_table(title, headers)
        for contender in self.contenders:
            cells = [
                format_number(contender.value.value),
                between(contender.value),
                format_number(contender.value.chance),
                f"{contender.parameters:,}",
            ]
            table.add_row(Text(contender.name), *cells, f"{contender.seconds:.1f} s", f"{contender.latency_ms:.1f} ms")
        yield table
        for sentence in self.verdict:
            yield Text(sentence, style="bold")

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return figures_text("Comparison", self.records, self._panels())

    def _repr_html_(self) -> str:
        return figures_html("Comparison", self.records, self._panels(), self.verdict)

    def plot(self) -> Plot:
        """Each candidate's mean, with intervals; a notebook shows it."""
        return plot(self._panels())

    def _panels(self) -> Panels:
        return {f"{self.target}, {self.measure}": {contender.name: contender.value for contender in self.contenders}}


def _plain(row: Contender | Difference) -> dict[str, Any]:
    return row._asdict() | {"value": row.value._asdict()}


def _with_value(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"value": Value(**fields["value"])}


def _ranking_sentences(comparison: Comparison) -> list[str]:
    """What the comparison says about the candidates that get every input."""
    complete = [contender for contender in comparison.contenders if contender.without is None]
    best, rivals = complete[0], complete[1:]
    if not rivals:
        return []
    against = {contender.name: comparison.between(best.name, contender.name) for contender in rivals}
    beaten = [contender for contender in rivals if against[contender.name].significant]
    tied = [best, *(contender for contender in rivals if not against[contender.name].significant)]
    sentences = []
    if len(tied) > 1:
        spread = max(against[contender.name].value.value for contender in tied[1:])
        sentences.append(
            f"{join_names([contender.name for contender in tied])} are indistinguishable here: they lie within"
            f" {_format_points(comparison, spread)} of each other."
        )
    if beaten:
        low, high = (pick(against[contender.name].value.value for contender in beaten) for pick in (min, max))
        lead = _format_points(comparison, high)
        if len(beaten) > 1:
            lead = f"{_format_points(comparison, low, bare=True)} to {lead}"
        sentences.append(f"{best.name} beats {join_names([contender.name for contender in beaten])} by {lead}.")
    sentences += _recommendation(best, tied)
    for contender in complete:
        if contender.diverged:
            trainings = counted(contender.diverged, "training")
            sentences.append(f"{contender.name}: {trainings} diverged and counted as chance.")
    return sentences


def _recommendation(best: Contender, tied: list[Contender]) -> Iterator[str]:
    """Which to take of those that cannot be told from the best: the smallest that is better than chance."""
    usable = [contender for contender in tied if above_chance(contender.value)]
    if not usable:
        yield "None of them is clearly better than chance, so there is none to take."
        return
    smallest = min(usable, key=lambda contender: (contender.parameters, -contender.value.value))
    if smallest is best:
        yield f"Take {best.name}{': it is also the smallest of them' if len(usable) > 1 else ''}."
    else:
        times = best.parameters / max(1, smallest.parameters)
        yield f"Take {smallest.name}: it is {times:.1f} times smaller than {best.name}, the best by the mean."


def _input_sentences(comparison: Comparison) -> list[str]:
    """What the comparison says about leaving an input out."""
    sentences = []
    for contender in comparison.contenders:
        if contender.without is None:
            continue
        name, fusion = contender.without, contender.fusion
        gain = comparison.between(contender.name, fusion)
        points = _format_points(comparison, gain.value.value, sign=True)
        change = f"by {points} ({_format_interval(comparison, gain.value)})"
        if not gain.significant:
            sentences.append(f"Whether '{name}' helps cannot be told: without it {fusion} changes {change}.")
        elif gain.value.value > 0:
            sentences.append(f"Leave '{name}' out: {fusion} is better without it, {change}.")
        else:
            sentences.append(f"'{name}' earns its keep: without it {fusion} changes {change}.")
    return sentences


def _format_interval(comparison: Comparison, value: Value) -> str:
    """The interval of a difference, in points."""
    if value.low is None:
        return "no interval: too few to draw from"
    low, high = (_format_points(comparison, edge, bare=True, sign=True) for edge in (value.low, value.high))
    return f"{low} to {high}"


def _format_points(comparison: Comparison, difference: float, bare: bool = False, sign: bool = False) -> str:
    """A difference as percentage points of a share; of a number as it is."""
    plus = "+" if sign else ""
    if comparison.measure.startswith("negative"):
        return f"{difference:{plus}.3g}"
    return f"{100 * difference:{plus}.1f}" if bare else f"{100 * difference:{plus}.1f} points"
