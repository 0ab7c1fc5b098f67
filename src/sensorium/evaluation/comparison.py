"""What a comparison found: a table of candidates, every two of them, and a verdict in plain words."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between, columns
from sensorium.evaluation.saving import save, text
from sensorium.metrics import Difference, Value


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
        return [*_ranks(self), *_inputs(self)]

    def between(self, a: str, b: str) -> Difference:
        """How much better `a` is than `b`."""
        for one in self.differences:
            if (one.a, one.b) == (a, b):
                return one
            if (one.b, one.a) == (a, b):
                turned = (None if edge is None else -edge for edge in (one.value.value, one.value.high, one.value.low))
                return Difference(a, b, Value(*turned, 0.0), one.p, one.corrected)
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
                "candidates": [one._asdict() | {"value": one.value._asdict()} for one in self.contenders],
                "differences": [one._asdict() | {"value": one.value._asdict()} for one in self.differences],
                "verdict": self.verdict,
            }
        }

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """The comparison that `save` wrote, but for the samples."""
        known = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))["comparison"]
        known.pop("verdict")
        contenders = [Contender(**one | {"value": Value(**one["value"])}) for one in known.pop("candidates")]
        differences = [Difference(**one | {"value": Value(**one["value"])}) for one in known.pop("differences")]
        return cls(**known, contenders=contenders, differences=differences, samples=pa.table({}))

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = (
            f"{self.target}: {self.measure} of {counted(self.records, 'record')}, {self.folds} folds,"
            f" {counted(self.seeds, 'seed')}"
        )
        headers = ["candidate", "mean", "95 % interval", "chance", "parameters", "training", "one record"]
        table = columns(title, headers)
        for one in self.contenders:
            cells = [
                format_number(one.value.value),
                between(one.value),
                format_number(one.value.chance),
                f"{one.parameters:,}",
            ]
            table.add_row(Text(one.name), *cells, f"{one.seconds:.1f} s", f"{one.latency_ms:.1f} ms")
        yield table
        for sentence in self.verdict:
            yield Text(sentence, style="bold")

    def __str__(self) -> str:
        return text(self)


def _ranks(found: Comparison) -> list[str]:
    """What is said of the candidates that get every input."""
    whole = [one for one in found.contenders if one.without is None]
    best, others = whole[0], whole[1:]
    if not others:
        return []
    against = {one.name: found.between(best.name, one.name) for one in others}
    beaten = [one for one in others if against[one.name].significant]
    tied = [best, *(one for one in others if not against[one.name].significant)]
    said = []
    if len(tied) > 1:
        spread = max(against[one.name].value.value for one in tied[1:])
        said.append(
            f"{_listed([one.name for one in tied])} are indistinguishable here: they lie within"
            f" {_points(found, spread)} of each other."
        )
    if beaten:
        low, high = (pick(against[one.name].value.value for one in beaten) for pick in (min, max))
        by = _points(found, low) if len(beaten) == 1 else f"{_points(found, low, bare=True)} to {_points(found, high)}"
        said.append(f"{best.name} beats {_listed([one.name for one in beaten])} by {by}.")
    smallest = min(tied, key=lambda one: (one.parameters, -one.value.value))
    if smallest is best:
        rest = [one.parameters for one in tied[1:]]
        said.append(f"Take {best.name}{': it is also the smallest of them' if rest else ''}.")
    else:
        times = best.parameters / max(1, smallest.parameters)
        said.append(f"Take {smallest.name}: it is {times:.1f} times smaller than {best.name}, the best by the mean.")
    for one in whole:
        if one.diverged:
            said.append(f"{one.name}: {counted(one.diverged, 'training')} diverged and counted as chance.")
    return said


def _inputs(found: Comparison) -> list[str]:
    """What is said of leaving an input out."""
    said = []
    for one in found.contenders:
        if one.without is None:
            continue
        gain = found.between(one.name, one.fusion)
        change = f"by {_points(found, gain.value.value, sign=True)} ({_interval(found, gain.value)})"
        if not gain.significant:
            said.append(f"Whether '{one.without}' helps cannot be told: without it {one.fusion} changes {change}.")
        elif gain.value.value > 0:
            said.append(f"Leave '{one.without}' out: {one.fusion} is better without it, {change}.")
        else:
            said.append(f"'{one.without}' earns its keep: without it {one.fusion} changes {change}.")
    return said


def _interval(found: Comparison, value: Value) -> str:
    """The 95 % interval of a difference."""
    if value.low is None:
        return "no interval: too few to draw from"
    return f"{_points(found, value.low, True, True)} to {_points(found, value.high, True, True)}"


def _points(found: Comparison, difference: float, bare: bool = False, sign: bool = False) -> str:
    """A difference as percentage points of a share; of a number as it is."""
    plus = "+" if sign else ""
    if found.measure.startswith("negative"):
        return f"{difference:{plus}.3g}"
    return f"{100 * difference:{plus}.1f}" if bare else f"{100 * difference:{plus}.1f} points"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
