"""How good written texts are: every metric beside chance, what they are compared with, which are empty or loop."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from sensorium.data.records import EVALUATION_BATCH, Records
from sensorium.data.table import Table
from sensorium.evaluation.baselines import Baseline, Scored
from sensorium.evaluation.coalitions import Coalition, without
from sensorium.evaluation.rivals import Training
from sensorium.metrics import Columns, Metric, Resamples, Value, distribution, finite, measured, point, summary
from sensorium.metrics.kinds.text import NEAREST, NORMALISERS, chrf, written_metrics

_LOOP = re.compile(r"(.{2,80}?)\1{3,}")  # a piece of text four times in a row
_LONGEST = 4000  # letters of a text that are looked at for loops


class Written(NamedTuple):
    """Texts written for `records` of the `of` records that have the target, judged by `metric`.

    metrics: with their chance, the commonest text of training. without: by input, the metrics of what is written when
    it is taken away. units: how many records, or groups of them. empty, looping, unfinished: how many texts are so; a
    loop says a piece of text four times in a row, an unfinished one reached the most tokens. normalise: what was done
    to texts and references before they were compared, one of NORMALISERS.
    """

    metric: str
    metrics: dict[str, Value]
    without: dict[str, dict[str, Value]]
    records: int
    of: int
    units: int
    empty: int
    looping: int
    unfinished: int
    normalise: str

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds beside the metrics themselves."""
        without = {
            name: {key: value._asdict() for key, value in of_input.items()} for name, of_input in self.without.items()
        }
        return self._asdict() | {"without": without, "sentence": self.sentence} | {"metrics": list(self.metrics)}

    @property
    def sentence(self) -> str:
        """How many were written, and what is odd about them."""
        faults = {"empty": self.empty, "in a loop": self.looping, "cut at the most tokens": self.unfinished}
        odd = ", ".join(f"{count:,} {fault}" for fault, count in faults.items() if count)
        compared = "" if self.normalise == "none" else f" Compared after the normaliser '{self.normalise}'."
        return f"Written for {self.records:,} of {self.of:,} records; {odd or 'none is empty or in a loop'}.{compared}"


class Sample(NamedTuple):
    """The records that were written for: rows among the scored ones, their references, and resamples of them; what is
    done to texts before they are compared, and has been to the references.
    """

    rows: np.ndarray
    references: list[list[str]]
    resamples: Resamples
    normalise: Callable[[str], str]


def sample_of(scored: Scored, inputs: Coalition) -> Sample | None:
    """The sample of the scored records; None where nothing was written."""
    decision = scored.predictions[inputs].get("decision")
    rows = np.flatnonzero(~pd.isna(decision)) if decision is not None else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return None
    normalise = NORMALISERS[scored.target.normalise]
    cells = scored.table.cells(scored.target.name, scored.target.kind)[rows]
    references = [[normalise(text) for text in texts] for texts in cells]
    clusters = None if scored.resamples.cluster is None else scored.resamples.cluster[rows]
    resamples = Resamples(len(rows), clusters, scored.resamples.count, scored.resamples.seed)
    return Sample(rows, references, resamples, normalise)


def judge_written(scored: Scored) -> Written | None:
    """What was written of the scored records, judged; None where nothing was."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    sample = sample_of(scored, inputs)
    if sample is None:
        return None
    chance = [sample.normalise(scored.target.commonest or "")] * len(sample.rows)
    levels = {
        name: finite(point(metric, len(sample.rows)))
        for name, metric in written_metrics(sample.references, chance).items()
    }
    texts = _texts(scored.predictions[inputs], sample)
    metrics = _measure(sample, texts, levels)
    written = scored.predictions[inputs]["decision"][sample.rows]
    by_input = {name: _texts(scored.predictions[without(inputs, name)], sample) for name in inputs}
    return Written(
        metric=NEAREST,
        metrics=metrics,
        without={name: _measure(sample, input_texts, levels) for name, input_texts in by_input.items()},
        records=len(sample.rows),
        of=len(scored.table),
        units=sample.resamples.units,
        empty=sum(not text for text in written),
        looping=sum(_LOOP.search(text[:_LONGEST]) is not None for text in written),
        unfinished=int((~scored.predictions[inputs]["finished"][sample.rows].astype(bool)).sum()),
        normalise=scored.target.normalise,
    )


def written_baselines(scored: Scored, training: Training | None) -> dict[str, Baseline]:
    """The model beside the commonest text, the text of the nearest training record by each text and by the features
    of each frozen encoder, and itself without each input.
    """
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    sample = sample_of(scored, inputs)
    if sample is None:
        return {}
    rivals = {} if scored.target.commonest is None else {"commonest": [scored.target.commonest] * len(sample.rows)}
    if training is not None:
        rivals |= nearest_texts(scored, sample, training)
    rivals = {name: [sample.normalise(text) for text in texts] for name, texts in rivals.items()}
    rivals |= {f"without {name}": _texts(scored.predictions[without(inputs, name)], sample) for name in inputs}
    model_chrf = chrf(sample.references, _texts(scored.predictions[inputs], sample))
    metrics = {"": model_chrf} | {name: chrf(sample.references, texts) for name, texts in rivals.items()}
    drawn = distribution(metrics, sample.resamples)
    points = {name: point(metric, len(sample.rows)) for name, metric in metrics.items()}
    return {
        name: Baseline(
            measured(metrics[name], drawn[name], sample.resamples),
            summary(points[""] - points[name], drawn[""] - drawn[name], sample.resamples.units),
        )
        for name in rivals
    }


def nearest_texts(scored: Scored, sample: Sample, training: Training) -> dict[str, list[str]]:
    """By what is compared, the first reference of the training record that is nearest to each record of the sample."""
    learned, target = training.table, scored.target
    cells = learned.cells(target.name, target.kind)
    learned_rows = np.flatnonzero(~pd.isna(cells))
    nearest = {}
    for spec in scored.table.schema.inputs:
        if spec.modality == "text":
            texts = [
                _values(table, spec.columns[0], rows)
                for table, rows in ((learned, learned_rows), (scored.table, sample.rows))
            ]
            nearest[f"nearest by {spec.name}"] = _nearest_by_words(*texts)
    scored_rows = pd.Index(training.scored.table.rows).get_indexer(scored.table.rows[sample.rows])
    for name in training.kept:
        vectors = _features(training.records, name, learned_rows), _features(training.scored, name, scored_rows)
        nearest[f"nearest by features of {name}"] = (vectors[1] @ vectors[0].T).argmax(axis=1)
    return {name: [cells[learned_rows[row]][0] for row in rows] for name, rows in nearest.items() if rows is not None}


def _values(table: Table, column: str, rows: np.ndarray) -> list[str]:
    return [text or "" for text in table.cells(column, "text")[rows]]


def _nearest_by_words(learned: list[str], asked: list[str]) -> np.ndarray | None:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), dtype=np.float32)
    try:
        learned_words = vectorizer.fit_transform(learned)
    except ValueError:  # no text has a word
        return None
    return np.asarray((vectorizer.transform(asked) @ learned_words.T).argmax(axis=1)).reshape(-1)


def _features(records: Records, name: str, rows: np.ndarray) -> np.ndarray:
    """float [M, D] of unit length: the pooled features that a store of `records` has of `rows`."""
    pieces = [
        records.stores[name].read(rows[start : start + EVALUATION_BATCH]).pooled.numpy()
        for start in range(0, len(rows), EVALUATION_BATCH)
    ]
    pooled = np.concatenate(pieces).astype(np.float32)
    return pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)


def _texts(prediction: Columns, sample: Sample) -> list[str]:
    """What was written of the sample's records, as it is compared."""
    return [sample.normalise(text or "") for text in prediction["decision"][sample.rows]]


def _measure(sample: Sample, texts: list[str], chance: dict[str, float | None]) -> dict[str, Value]:
    metrics: dict[str, Metric] = written_metrics(sample.references, texts)
    drawn = distribution(metrics, sample.resamples)
    return {name: measured(metric, drawn[name], sample.resamples, chance[name]) for name, metric in metrics.items()}
