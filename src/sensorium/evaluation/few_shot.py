"""evaluate_few_shot: how well a logistic probe on a model's frozen embeddings sorts records after a few examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from sensorium.data.table import Table
from sensorium.errors import UserError, counted, unknown
from sensorium.evaluation.embedding import check_records, embed_once, narrowed
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.notebook import Panels, Plot, figures_html, figures_text, plot
from sensorium.evaluation.printing import between, titled_table
from sensorium.evaluation.saving import count_of_learned, learned_text, save, save_evaluation, text
from sensorium.evaluation.truth import truth_of
from sensorium.evaluation.zero_shot import ZeroShot
from sensorium.metrics import CONFIDENCE_PERCENT, Value, interval
from sensorium.model import Model

STRENGTH = 32.0  # scikit-learn's C of embeddings whose mean square is 1: little regularisation, as few shots need
ZERO = "zero_shot"
SPREAD = f"{CONFIDENCE_PERCENT} of draws"


class ProbeRecords(NamedTuple):
    """The N records that can be drawn or scored.

    vectors: float32 [N, E]. label: int64 [N]. content, source: int64 [N], the same for records of one
    content, and of one group (content, without groups).
    zero: int64 [N], the label that the names of the labels alone lead to; None for a model without texts.
    """

    vectors: np.ndarray
    label: np.ndarray
    content: np.ndarray
    source: np.ndarray
    zero: np.ndarray | None


@dataclass(frozen=True)
class FewShotReport:
    """Accuracy and macro F1 by shots a class, means over draws; print it, read it as a dictionary, save it.

    figures: by shots a class, and "zero_shot" for a model that reads the labels' names, on the same records as the most
    shots; by metric. An interval holds the middle CONFIDENCE of the draws. samples: what becomes scores.parquet, one
    row a draw.
    """

    target: str
    labels: list[str]
    records: int
    used: int
    bad: int
    figures: dict[str, dict[str, Value]]
    draws: int
    cost: dict[str, Any]
    samples: pa.Table
    learned: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What `metrics.json` holds: plain values, None where something is undefined."""
        shots = {
            shots: {name: value._asdict() for name, value in metrics.items()} for shots, metrics in self.figures.items()
        }
        return {
            "few_shot": {self.target: shots},
            "draws": self.draws,
            "cost": self.cost,
            "records": {"all": self.records, "targets": {self.target: self.used}, "bad": self.bad}
            | count_of_learned(self.learned),
        }

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
        save(folder, self.to_dict(), self.samples)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = f"{self.target}, few-shot: {counted(self.used, 'record')}, {len(self.labels)} labels"
        headers = ["shots a label", "accuracy", SPREAD, "macro F1", SPREAD, "chance"]
        table = titled_table(title, headers)
        for shots, metrics in self.figures.items():
            accuracy, f1 = metrics["accuracy"], metrics["f1_macro"]
            name = "none, by name" if shots == ZERO else shots
            table.add_row(
                name,
                format_number(accuracy.value),
                between(accuracy),
                format_number(f1.value),
                between(f1),
                format_number(accuracy.chance),
            )
        yield table
        yield Text(
            f"Means over {counted(self.draws, 'draw')} of the shots; a logistic probe on frozen embeddings, scored on"
            " the records of no shot's group or content. Chance is the most frequent label."
        )
        if self.records > self.used:
            yield Text(f"{counted(self.records - self.used, 'record')} without label or input left out.")
        if self.bad:
            yield Text(f"{counted(self.bad, 'bad record')} {'was' if self.bad == 1 else 'were'} set aside.")
        yield from learned_text(self.learned, self.records)

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return figures_text("FewShotReport", self.used, self._panels())

    def _repr_html_(self) -> str:
        return figures_html("FewShotReport", self.used, self._panels(), [])

    def plot(self) -> Plot:
        """Accuracy by shots a label, with intervals; a notebook shows it."""
        return plot(self._panels())

    def _panels(self) -> Panels:
        return {
            f"{self.target}, accuracy by shots": {name: values["accuracy"] for name, values in self.figures.items()}
        }


def evaluate_few_shot(
    model: Model,
    table: Table,
    target: str | None = None,
    shots: str | Sequence[int] = "1,4,16",
    draws: int = 10,
    input: str | None = None,
    templates: str | Path | Sequence[str] = "plain",
    *,
    out: str | Path | None = None,
    bad_records: str = "stop",
    seed: int = 0,
    precision: str = "fp32",
) -> FewShotReport:
    """How well few examples teach the labels in the column `target` of `table`, the encoders staying as they are.

    shots: examples a label, several numbers or "1,4,16". In each of `draws` draws, which follow from `seed`, so many
    records of each label are taken, a logistic probe is fitted to the embeddings of the `input`, and the others are
    scored, but for those that share a group or their content with an example. Where the model aligns the input with
    texts, the zero-shot accuracy (`templates`, see ZeroShot) on the same records stands beside it.
    out, bad_records: as of `evaluate`. Raises UserError for a column that is not there or empty, and where a label has
    too few records.
    """
    counts = _parse_shots(shots)
    if draws < 1:
        raise UserError(f"--draws {draws} draws nothing; give at least 1.")
    table, name = model.read(table), _probed_input(model, input)
    truth_of(table, target)
    readable = check_records(narrowed(table, [name]), bad_records)
    truth = truth_of(readable.table, target)
    rows = np.flatnonzero([label is not None for label in truth] & (readable.ids[name] != 0))
    usable, ids = readable.table.take(rows), readable.ids[name][rows]
    if not len(rows):
        raise UserError(f"No record of {table.source} has both the input '{name}' and '{target}'; fill them in.")
    labels, label = np.unique([truth[row] for row in rows], return_inverse=True)
    source = _record_sources(ids, usable.groups)
    _check_label_counts(labels, label, source, max(counts), target)
    vectors = embed_once(model, usable, name, ids, precision)
    by_name = _zero_shot_labels(model, labels.tolist(), templates, name, vectors)
    probe_records = ProbeRecords(vectors, label, ids, source, by_name)
    samples = [row for count in counts for row in _score_draws(probe_records, count, draws, seed)]
    report = FewShotReport(
        target=target,
        labels=labels.tolist(),
        records=len(readable.table),
        used=len(rows),
        bad=len({error.row for error in readable.bad}),
        figures=_summarise_draws(samples, counts, np.bincount(label)),
        draws=draws,
        cost={"parameters": sum(parameter.numel() for parameter in model.parameters())},
        samples=pa.Table.from_pylist(samples),
    )
    save_evaluation(report, readable.bad, out)
    return report


def _parse_shots(shots: str | Sequence[int]) -> list[int]:
    numbers = shots.split(",") if isinstance(shots, str) else list(shots)
    try:
        counts = sorted({int(number) for number in numbers})
    except ValueError as error:
        raise UserError(f"--shots {shots} is not numbers with commas between; give for example 1,4,16.") from error
    if not counts or counts[0] < 1:
        raise UserError(f"--shots {shots} has a number below 1; give for example 1,4,16.")
    return counts


def _probed_input(model: Model, name: str | None) -> str:
    """The input to classify: the one named, the only one, or the only one that is no text."""
    specs = {spec.name: spec.modality for spec in model.schema.inputs}
    if name is not None:
        if name not in specs:
            raise unknown("input", name, specs)
        return name
    candidates = list(specs)
    if len(specs) > 1:
        candidates = [input_name for input_name, modality in specs.items() if modality != "text"]
    if len(candidates) != 1:
        raise UserError(f"The model has the inputs {', '.join(specs)}; say with --input which one to classify.")
    return candidates[0]


def _record_sources(ids: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """int64 [N]: what a record comes from, its group or, without groups, its content, by `ids` int64 [N]."""
    return np.unique(ids if groups is None else groups.astype(str), return_inverse=True)[1]


def _check_label_counts(labels: np.ndarray, label: np.ndarray, source: np.ndarray, most: int, target: str) -> None:
    """Raises UserError unless every label has more records, of different sources, than `most` shots take."""
    if len(labels) < 2:
        raise UserError(f"The column '{target}' has one label, '{labels[0]}'; a probe needs two to tell apart.")
    pairs = np.unique(np.stack([label, source]), axis=1)
    count = np.bincount(pairs[0], minlength=len(labels))
    rarest = int(count.argmin())
    if count[rarest] <= most:
        raise UserError(
            f"--shots {most} asks for {counted(most + 1, 'different record')} of each label, one of them to score, and"
            f" '{labels[rarest]}' has {count[rarest]}; give fewer shots, or leave that label out of the table."
        )


def _zero_shot_labels(
    model: Model, labels: list[str], templates: str | Path | Sequence[str], name: str, vectors: np.ndarray
) -> np.ndarray | None:
    """int64 [N]: what zero-shot decides; None for a model that does not align the input with one text."""
    texts = [text for text in model.schema.inputs_of("text") if text != name]
    if not hasattr(model, "logit_scale") or len(texts) != 1:
        return None
    shot = ZeroShot(model, labels, templates, name, texts[0], "fp32")
    return shot.probabilities(vectors).argmax(axis=1)


def _score_draws(records: ProbeRecords, shots: int, draws: int, seed: int) -> list[dict[str, Any]]:
    """One row a draw: shots, draw, accuracy, f1_macro, and those of zero-shot on the same `records`."""
    rows = []
    for draw in range(draws):
        generator = np.random.default_rng((seed, shots, draw))
        shot_rows = _draw_shots(records, shots, generator)
        same_source = np.isin(records.source, records.source[shot_rows])
        same_content = np.isin(records.content, records.content[shot_rows])
        scored_rows = np.flatnonzero(~(same_source | same_content))
        if not len(scored_rows):
            raise UserError(
                f"With {shots} shots a label no record is left to score: each shares its group with a shot; give fewer"
                " shots."
            )
        decided = _fit_and_predict(records.vectors[shot_rows], records.label[shot_rows], records.vectors[scored_rows])
        row = {"shots": shots, "draw": draw, "records": len(scored_rows)} | _scores(records.label[scored_rows], decided)
        if records.zero is not None:
            zero = _scores(records.label[scored_rows], records.zero[scored_rows])
            row |= {f"{ZERO}_{name}": value for name, value in zero.items()}
        rows.append(row)
    return rows


def _draw_shots(records: ProbeRecords, shots: int, generator: np.random.Generator) -> np.ndarray:
    """int64 [K * shots]: records of each label, of different sources where there are enough."""
    order = generator.permutation(len(records.label))
    first = np.sort(np.unique(np.stack([records.label, records.source])[:, order], axis=1, return_index=True)[1])
    order = order[first]  # one record of each label and source
    by_label = np.argsort(records.label[order], kind="stable")
    label = records.label[order][by_label]
    rank_in_label = np.arange(len(label)) - np.searchsorted(label, label)
    return order[by_label[rank_in_label < shots]]


def _fit_and_predict(shots: np.ndarray, label: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The labels [N] that a logistic regression on `shots`, float32 [M, E], of labels [M], gives `vectors` [N, E]."""
    centre = shots.mean(axis=0)
    scale = np.sqrt(np.square(shots - centre).sum(axis=1).mean()) or 1.0
    probe = LogisticRegression(C=STRENGTH, max_iter=1000).fit((shots - centre) / scale, label)
    return probe.predict((vectors - centre) / scale)


def _scores(truth: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": float(accuracy_score(truth, decided)),
        "f1_macro": float(f1_score(truth, decided, average="macro", zero_division=0)),
    }


def _summarise_draws(
    samples: list[dict[str, Any]], counts: list[int], support: np.ndarray
) -> dict[str, dict[str, Value]]:
    """By shots, and for zero-shot: accuracy and macro F1, means over the draws. support: int [K], records a label."""
    share = support.max() / support.sum()
    chance = {"accuracy": float(share), "f1_macro": float(2 * share / (1 + share) / len(support))}

    def of(prefix: str, shots: int) -> dict[str, Value]:
        values = {}
        for name, level in chance.items():
            drawn = np.array([row[prefix + name] for row in samples if row["shots"] == shots])
            values[name] = Value(float(drawn.mean()), *interval(drawn, len(drawn)), level)
        return values

    figures = {ZERO: of(f"{ZERO}_", counts[-1])} if f"{ZERO}_accuracy" in samples[0] else {}
    return figures | {str(count): of("", count) for count in counts}
