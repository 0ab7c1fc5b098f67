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

from sensorium.data.table import Table
from sensorium.errors import UserError, counted, unknown
from sensorium.evaluation.embedding import Checked, check_records, embed_once, narrowed
from sensorium.evaluation.notebook import Panels, Plot, figures_html, figures_text, plot
from sensorium.evaluation.printing import gain_table, metric_table
from sensorium.evaluation.reranking import check_rerank, rerank_pair
from sensorium.evaluation.saving import count_of_learned, learned_text, save, save_evaluation, text
from sensorium.evaluation.verdict import Verdict, retrieval_verdict
from sensorium.metrics import Resamples, Value
from sensorium.metrics.retrieval import Direction, measure_gain, measure_retrieval, retrieval
from sensorium.model import Model

ARROW = "\N{RIGHTWARDS ARROW}"


class Reranked(NamedTuple):
    """A direction whose `best` first items the matching head has ranked again: the metrics then, and by how much each
    is more than without, a difference of the same queries.
    """

    best: int
    metrics: dict[str, Value]
    gain: dict[str, Value]

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return {
            "best": self.best,
            "metrics": _plain(self.metrics),
            "gain": _plain(self.gain),
            "sentence": self.sentence,
        }

    @property
    def sentence(self) -> str:
        """What it changes of recall at 1."""
        change = self.gain["recall@1"]
        sentence = f"Ranking the {self.best} best anew changes recall@1 by {100 * change.value:+.1f} points"
        if change.low is None:
            return f"{sentence}."
        sentence += f" ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
        if change.low > 0 or change.high < 0:
            return f"{sentence}."
        return f"{sentence}: no difference that can be told from none."


class Retrieved(NamedTuple):
    """One direction: its name, as `caption→photo`, the metrics, how many different queries and items there were; and
    what becomes of it when the best are ranked again.
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
        sentence = (
            f"Given '{query}', what belongs to it comes first of {counted(self.items, item)} in {first.value:.1%} of"
            f" cases; chance is {first.chance:.2%}."
        )
        if first.low is not None and first.low <= first.chance:
            sentence += " That is no more than chance."
        return sentence


@dataclass(frozen=True)
class RetrievalReport:
    """Retrieval in every direction between `records` records' inputs; print it, read it as a dictionary, save it.

    present: by input, how many records have it. bad: how many were set aside. samples: what becomes scores.parquet, one
    row a query: key (of the first record it stands in), group, direction, rank, average_precision, and when the best
    were ranked again reranked_rank and reranked_average_precision.
    """

    directions: list[Retrieved]
    records: int
    present: dict[str, int]
    bad: int
    cost: dict[str, Any]
    samples: pa.Table
    learned: int | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the model is any good, by all recalls of every direction."""
        queries = min(direction.queries for direction in self.directions)
        return retrieval_verdict({direction.name: direction.metrics for direction in self.directions}, queries)

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds: plain values, None where something is undefined."""
        reranking = {
            direction.name: direction.reranked.to_dict()
            for direction in self.directions
            if direction.reranked is not None
        }
        return {
            "retrieval": {direction.name: _plain(direction.metrics) for direction in self.directions},
            **({"reranking": reranking} if reranking else {}),
            "cost": self.cost,
            "records": {
                "all": self.records,
                "inputs": self.present,
                "retrieval": {
                    direction.name: {"queries": direction.queries, "items": direction.items}
                    for direction in self.directions
                },
                "bad": self.bad,
                **count_of_learned(self.learned),
            },
            "verdicts": {"retrieval": self.verdict._asdict()},
            "sentences": {direction.name: direction.sentence for direction in self.directions},
        }

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def brief(self) -> list[str]:
        """The verdict."""
        return [f"Retrieval: {self.verdict.sentence}"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"{self.verdict.sentence}\n", style="bold")
        for direction in self.directions:
            title = f"{direction.name}: {direction.queries:,} queries among {counted(direction.items, 'item')}"
            yield metric_table(title, direction.metrics)
            yield Text(f"{direction.sentence}\n", style="bold")
            if direction.reranked is not None:
                reranked = direction.reranked
                title = f"{direction.name}: the {reranked.best} best of each query ranked anew by the matching head"
                yield gain_table(title, reranked.metrics, reranked.gain)
                yield Text(f"{reranked.sentence}\n", style="bold")
        counts = ", ".join(f"{count:,} have '{name}'" for name, count in self.present.items())
        yield Text(f"{counted(self.records, 'record')}: {counts}. Equal contents count once.")
        if self.bad:
            yield Text(f"{counted(self.bad, 'bad record')} {'was' if self.bad == 1 else 'were'} set aside.")
        yield from learned_text(self.learned, self.records)

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return figures_text("RetrievalReport", self.records, self._panels())

    def _repr_html_(self) -> str:
        return figures_html(
            "RetrievalReport", self.records, self._panels(), [direction.sentence for direction in self.directions]
        )

    def plot(self) -> Plot:
        """Each direction's recalls, with intervals; a notebook shows it."""
        return plot(self._panels())

    def _panels(self) -> Panels:
        return {
            direction.name: {name: value for name, value in direction.metrics.items() if name.startswith("recall@")}
            for direction in self.directions
        }


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
    query's best are ranked again by the head of the model that says whether two inputs belong together. seed: of the
    `resamples` bootstrap resamples behind every interval; they are drawn by group when the table has groups, else by
    the content of a pair's first input. Memory grows with the records, not with their square.
    Raises UserError when the model has no shared space, or no such head to rank by, when no record has two inputs,
    and as reading and decoding do.
    """
    if rerank is not None:
        check_rerank(model, rerank)
    names = list(dict.fromkeys(name for a_and_b in _pairs(model, pair) for name in a_and_b))
    table = model.read(table)
    if not len(table):
        raise UserError(f"{table.source} has no records, so there is nothing to evaluate.")
    readable = check_records(narrowed(table, names), bad_records)
    pairs = [(a, b) for a, b in _pairs(model, pair) if len(_rows_with_both(readable, a, b))]
    if not pairs:
        raise UserError(
            f"No record of {table.source} has two of the inputs {', '.join(names)}, so none can be looked for by"
            " another; fill them in."
        )
    used = list(dict.fromkeys(name for a_and_b in pairs for name in a_and_b))
    vectors = {name: embed_once(model, readable.table, name, readable.ids[name], precision) for name in used}
    report = retrieval_report(model, readable, vectors, pairs, seed, resamples, rerank, precision)
    save_evaluation(report, readable.bad, out)
    return report


def retrieval_report(
    model: Model,
    readable: Checked,
    vectors: dict[str, np.ndarray],
    pairs: list[tuple[str, str]],
    seed: int = 0,
    resamples: int = 2000,
    rerank: int | None = None,
    precision: str = "fp32",
) -> RetrievalReport:
    """The report on embeddings that are at hand: `vectors`, by input float32 [N, E], of the N `readable` records.

    pairs: of inputs that some record has both of. All else is as in `evaluate_retrieval`.
    """
    directions, samples = [], []
    for a, b in pairs:
        rows = _rows_with_both(readable, a, b)
        reranked: tuple[Direction | None, ...] = (None, None)
        if rerank is not None:
            reranked = rerank_pair(model, readable, vectors, (a, b), rows, rerank, precision)
        embedded = _directions(readable, vectors, (a, b), rows)
        for (name, direction, clusters), reranked_direction in zip(embedded, reranked, strict=True):
            drawn = Resamples(len(direction.records), clusters, resamples, seed)
            result = Retrieved(name, measure_retrieval(direction, drawn), len(direction.records), direction.items)
            if reranked_direction is not None:
                gain = measure_gain(direction, reranked_direction, drawn)
                result = result._replace(reranked=Reranked(rerank, measure_retrieval(reranked_direction, drawn), gain))
            directions.append(result)
            samples.append(_samples(readable.table, name, direction, reranked_direction, rows))
    return RetrievalReport(
        directions=directions,
        records=len(readable.table),
        present={name: int((ids != 0).sum()) for name, ids in readable.ids.items()},
        bad=len({error.row for error in readable.bad}),
        cost={"parameters": sum(parameter.numel() for parameter in model.parameters())},
        samples=pa.concat_tables(samples),
    )


def _rows_with_both(readable: Checked, a: str, b: str) -> np.ndarray:
    """int64 [R]: the records that have the inputs `a` and `b`."""
    return np.flatnonzero((readable.ids[a] != 0) & (readable.ids[b] != 0))


def shares_a_space(model: Model) -> bool:
    """Whether the model aligns inputs: it has a temperature or projections."""
    return hasattr(model, "logit_scale") or len(model.projections) > 0


def aligned_inputs(model: Model) -> list[str]:
    """The inputs whose embeddings lie in the model's shared space: of a model that fuses, those that were aligned."""
    return [name for name in model.encoders.names if model.fusion is None or name in model.projections]


def _pairs(model: Model, pair: tuple[str, str] | None) -> list[tuple[str, str]]:
    names = aligned_inputs(model)
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
    readable: Checked, vectors: dict[str, np.ndarray], pair: tuple[str, str], rows: np.ndarray
) -> Iterator[tuple[str, Direction, np.ndarray]]:
    """Name, ranks and bootstrap clusters of both directions of a pair, over the records `rows` that have both."""
    (a, b), ids, groups = pair, readable.ids, readable.table.groups
    directions = retrieval(vectors[a][rows], vectors[b][rows], ids[a][rows], ids[b][rows])
    cluster = ids[a][rows] if groups is None else groups[rows]
    yield f"{a}{ARROW}{b}", directions.forward, cluster[directions.forward.records]
    yield f"{b}{ARROW}{a}", directions.backward, cluster[directions.backward.records]


def _samples(table: Table, name: str, direction: Direction, reranked: Direction | None, rows: np.ndarray) -> pa.Table:
    records = rows[direction.records]
    groups, keys = table.groups, np.array(table.keys, dtype=object)
    columns = {"rank": direction.found.rank, "average_precision": direction.found.precision}
    if reranked is not None:
        columns |= {"reranked_rank": reranked.found.rank, "reranked_average_precision": reranked.found.precision}
    return pa.table(
        {
            "key": pa.array(keys[records], pa.string()),
            "group": pa.nulls(len(records), pa.string()) if groups is None else pa.array(groups[records], pa.string()),
            "direction": pa.array([name] * len(records), pa.string()),
        }
        | {name: pa.array(values, pa.float64()) for name, values in columns.items()}
    )


def _plain(metrics: dict[str, Value]) -> dict[str, dict[str, float | None]]:
    return {name: value._asdict() for name, value in metrics.items()}
