"""evaluate_retrieval: how well a model's inputs find each other in their shared space."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sensorium.data.scan import write_bad_records
from sensorium.data.table import Table
from sensorium.errors import UserError, counted, unknown
from sensorium.evaluation.embedding import Checked, checked, embed_once, narrowed
from sensorium.evaluation.printing import gain_table, metric_table
from sensorium.evaluation.reranking import check_rerank, rerank_pair
from sensorium.evaluation.saving import save, text
from sensorium.metrics import Resamples, Value
from sensorium.metrics.retrieval import Direction, measure_gain, measure_retrieval, retrieval
from sensorium.model import Model

ARROW = "\N{RIGHTWARDS ARROW}"


class Reranked(NamedTuple):
    """A direction whose `best` first items the matching head has ordered anew: the metrics then, and by how much each
    is more than without, a difference of the same queries.
    """

    best: int
    metrics: dict[str, Value]
    gain: dict[str, Value]

    @property
    def sentence(self) -> str:
        """What it changes of recall at 1."""
        change = self.gain["recall@1"]
        said = f"Ranking the {self.best} best anew changes recall@1 by {100 * change.value:+.1f} points"
        if change.low is None:
            return f"{said}."
        said += f" ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
        return f"{said}." if change.low > 0 or change.high < 0 else f"{said}: no difference that can be told from none."


class Retrieved(NamedTuple):
    """One direction: its name, as `caption→photo`, the metrics, how many different queries and items there were; and
    what becomes of it when the best are ranked anew.
    """

    name: str
    metrics: dict[str, Value]
    queries: int
    items: int
    reranked: Reranked | None = None

    @property
    def sentence(self) -> str:
        """What recall at 1 says, and whether it is more than chance."""
        first, (query, _, item) = self.metrics["recall@1"], self.name.partition(ARROW)
        said = (
            f"Given '{query}', what belongs to it comes first of {counted(self.items, item)} in {first.value:.1%} of"
            f" cases; chance is {first.chance:.2%}."
        )
        if first.low is not None and first.low <= first.chance:
            said += " That is no more than chance."
        return said


@dataclass(frozen=True)
class RetrievalReport:
    """Retrieval in every direction between `records` records' inputs; print it, read it as a dictionary, save it.

    present: by input, how many records have it. bad: how many were set aside. samples: what becomes scores.parquet, one
    row a query: key (of the first record it stands in), group, direction, rank, average_precision, and when the best
    were ranked anew reranked_rank and reranked_average_precision.
    """

    directions: list[Retrieved]
    records: int
    present: dict[str, int]
    bad: int
    cost: dict[str, Any]
    samples: pa.Table

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds: plain values, None where something is undefined."""
        again = {one.name: one.reranked for one in self.directions if one.reranked is not None}
        reranking = {
            name: {"best": one.best, "metrics": _plain(one.metrics), "gain": _plain(one.gain), "sentence": one.sentence}
            for name, one in again.items()
        }
        return {
            "retrieval": {one.name: _plain(one.metrics) for one in self.directions},
            **({"reranking": reranking} if reranking else {}),
            "cost": self.cost,
            "records": {
                "all": self.records,
                "inputs": self.present,
                "retrieval": {one.name: {"queries": one.queries, "items": one.items} for one in self.directions},
                "bad": self.bad,
            },
            "sentences": {one.name: one.sentence for one in self.directions},
        }

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for one in self.directions:
            title = f"{one.name}: {one.queries:,} queries among {counted(one.items, 'item')}"
            yield metric_table(title, one.metrics)
            yield Text(f"{one.sentence}\n", style="bold")
            if one.reranked is not None:
                title = f"{one.name}: the {one.reranked.best} best of each query ranked anew by the matching head"
                yield gain_table(title, one.reranked.metrics, one.reranked.gain)
                yield Text(f"{one.reranked.sentence}\n", style="bold")
        has = ", ".join(f"{count:,} have '{name}'" for name, count in self.present.items())
        yield Text(f"{counted(self.records, 'record')}: {has}. Equal contents count once.")
        if self.bad:
            yield Text(f"{counted(self.bad, 'bad record')} {'was' if self.bad == 1 else 'were'} set aside.")

    def __str__(self) -> str:
        return text(self)


def evaluate_retrieval(
    model: Model,
    table: Table,
    pair: tuple[str, str] | None = None,
    *,
    out: str | Path | None = None,
    bad_records: str = "stop",
    seed: int = 0,
    rerank: int | None = None,
    resamples: int = 2000,
    precision: str = "fp32",
) -> RetrievalReport:
    """How well the inputs of `model` find each other on `table`: recall, median rank and mean average precision.

    pair: two inputs; without it every two of which any record has both. Contents that are equal are encoded once and
    count once, as query and as item; what any record pairs belongs together. bad_records: "stop" at a file that cannot
    be read, or "skip" such records, counted, and listed in bad_records.csv of the folder `out`. rerank: so many of each
    query's best are ranked anew by the head of the model that says whether two inputs belong together. seed: of the
    `resamples` bootstrap resamples behind every interval; they are drawn by group when the table has groups, else by
    the content of a pair's first input. Memory grows with the records, not with their square.
    Raises UserError when the model has no shared space, or no such head to rank anew by, when no record has two inputs,
    and as reading and decoding do.
    """
    if rerank is not None:
        check_rerank(model, rerank)
    names = list(dict.fromkeys(name for two in _pairs(model, pair) for name in two))
    table = model.read(table)
    if not len(table):
        raise UserError(f"{table.source} has no records, so there is nothing to evaluate.")
    known = checked(narrowed(table, names), bad_records)
    shared = {two: np.flatnonzero((known.ids[two[0]] != 0) & (known.ids[two[1]] != 0)) for two in _pairs(model, pair)}
    shared = {two: rows for two, rows in shared.items() if len(rows)}
    if not shared:
        raise UserError(
            f"No record of {table.source} has two of the inputs {', '.join(names)}, so none can be looked for by"
            " another; fill them in."
        )
    used = list(dict.fromkeys(name for two in shared for name in two))
    vectors = {name: embed_once(model, known.table, name, known.ids[name], precision) for name in used}
    report = retrieval_report(model, known, vectors, list(shared), seed, resamples, rerank, precision)
    if out is not None:
        report.save(out)
        if known.bad:
            write_bad_records(known.bad, Path(out) / "bad_records.csv")
    return report


def retrieval_report(
    model: Model,
    known: Checked,
    vectors: dict[str, np.ndarray],
    pairs: list[tuple[str, str]],
    seed: int = 0,
    resamples: int = 2000,
    rerank: int | None = None,
    precision: str = "fp32",
) -> RetrievalReport:
    """The report on embeddings that are at hand: `vectors`, by input float32 [N, E], of the N records that are `known`.

    pairs: of inputs that some record has both of. All else is as in `evaluate_retrieval`.
    """
    directions, samples = [], []
    for a, b in pairs:
        rows = np.flatnonzero((known.ids[a] != 0) & (known.ids[b] != 0))
        again: tuple[Direction | None, ...] = (None, None)
        if rerank is not None:
            again = rerank_pair(model, known, vectors, (a, b), rows, rerank, precision)
        for (name, direction, clusters), other in zip(_directions(known, vectors, (a, b), rows), again, strict=True):
            drawn = Resamples(len(direction.records), clusters, resamples, seed)
            found = Retrieved(name, measure_retrieval(direction, drawn), len(direction.records), direction.items)
            if other is not None:
                gain = measure_gain(direction, other, drawn)
                found = found._replace(reranked=Reranked(rerank, measure_retrieval(other, drawn), gain))
            directions.append(found)
            samples.append(_samples(known.table, name, direction, other, rows))
    return RetrievalReport(
        directions=directions,
        records=len(known.table),
        present={name: int((ids != 0).sum()) for name, ids in known.ids.items()},
        bad=len({error.row for error in known.bad}),
        cost={"parameters": sum(parameter.numel() for parameter in model.parameters())},
        samples=pa.concat_tables(samples),
    )


def shares_a_space(model: Model) -> bool:
    """Whether the model aligns inputs: it has a temperature or projections."""
    return hasattr(model, "logit_scale") or len(model.projections) > 0


def sharing(model: Model) -> list[str]:
    """The inputs whose embeddings lie in the model's shared space: of a model that fuses, those that were aligned."""
    return [name for name in model.encoders.names if model.fusion is None or name in model.projections]


def _pairs(model: Model, pair: tuple[str, str] | None) -> list[tuple[str, str]]:
    names = sharing(model)
    if not shares_a_space(model) or len(names) < 2:
        raise UserError(
            "This model has no space that its inputs share, so none can be looked for by another; take a pretrained"
            " one, or evaluate it with --task targets."
        )
    if pair is None:
        return list(combinations(names, 2))
    for name in pair:
        if name not in names:
            raise unknown("input", name, names)
    if len(pair) != 2 or pair[0] == pair[1]:
        raise UserError(f"A pair is two different inputs of {', '.join(names)}; {', '.join(pair)} is not.")
    return [tuple(pair)]


def _directions(
    known: Checked, vectors: dict[str, np.ndarray], pair: tuple[str, str], rows: np.ndarray
) -> Iterator[tuple[str, Direction, np.ndarray]]:
    """Name, ranks and bootstrap clusters of both directions of a pair, over the records `rows` that have both."""
    (a, b), ids, groups = pair, known.ids, known.table.groups
    both = retrieval(vectors[a][rows], vectors[b][rows], ids[a][rows], ids[b][rows])
    cluster = ids[a][rows] if groups is None else groups[rows]
    yield f"{a}{ARROW}{b}", both.forward, cluster[both.forward.records]
    yield f"{b}{ARROW}{a}", both.backward, cluster[both.backward.records]


def _samples(table: Table, name: str, direction: Direction, other: Direction | None, rows: np.ndarray) -> pa.Table:
    records = rows[direction.records]
    groups, keys = table.groups, np.array(table.keys, dtype=object)
    found = {"rank": direction.found.rank, "average_precision": direction.found.precision}
    if other is not None:
        found |= {"reranked_rank": other.found.rank, "reranked_average_precision": other.found.precision}
    return pa.table(
        {
            "key": pa.array(keys[records], pa.string()),
            "group": pa.nulls(len(records), pa.string()) if groups is None else pa.array(groups[records], pa.string()),
            "direction": pa.array([name] * len(records), pa.string()),
        }
        | {name: pa.array(values, pa.float64()) for name, values in found.items()}
    )


def _plain(metrics: dict[str, Value]) -> dict[str, dict[str, float | None]]:
    return {name: value._asdict() for name, value in metrics.items()}
