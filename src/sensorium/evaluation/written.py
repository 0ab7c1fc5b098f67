"""How good written texts are: every metric beside chance, what they are compared with, which are empty or loop."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from sensorium.data.records import EVALUATION_BATCH, Records
from sensorium.data.table import Table
from sensorium.evaluation.baselines import Baseline, Scored, compare_metrics
from sensorium.evaluation.coalitions import without
from sensorium.evaluation.judged import figures_of, judge, written_rows
from sensorium.evaluation.rivals import Training
from sensorium.metrics import Columns, Resamples, Value
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
        """See `judged.figures_of`."""
        return figures_of(self)

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


def sample_of(scored: Scored) -> Sample | None:
    """The sample of the scored records; None where nothing was written."""
    judgeable = written_rows(scored)
    if judgeable is None:
        return None
    rows, resamples = judgeable
    normalise = NORMALISERS[scored.target.normalise]
    cells = scored.table.cells(scored.target.name, scored.target.kind)[rows]
    return Sample(rows, [[normalise(text) for text in texts] for texts in cells], resamples, normalise)


def judge_written(scored: Scored) -> Written | None:
    """What was written of the scored records, judged; None where nothing was."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    sample = sample_of(scored)
    if sample is None:
        return None
    commonest = [sample.normalise(scored.target.commonest or "")] * len(sample.rows)
    without_input = {name: scored.predictions[without(inputs, name)] for name in inputs}
    metrics, by_input = judge(
        written_metrics(sample.references, _texts(scored.predictions[inputs], sample)),
        written_metrics(sample.references, commonest),
        {name: written_metrics(sample.references, _texts(texts, sample)) for name, texts in without_input.items()},
        sample.resamples,
    )
    written = scored.predictions[inputs]["decision"][sample.rows]
    return Written(
        metric=NEAREST,
        metrics=metrics,
        without=by_input,
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
    sample = sample_of(scored)
    if sample is None:
        return {}
    rivals = {} if scored.target.commonest is None else {"commonest": [scored.target.commonest] * len(sample.rows)}
    if training is not None:
        rivals |= nearest_texts(scored, sample, training)
    rivals = {name: [sample.normalise(text) for text in texts] for name, texts in rivals.items()}
    rivals |= {f"without {name}": _texts(scored.predictions[without(inputs, name)], sample) for name in inputs}
    model_chrf = chrf(sample.references, _texts(scored.predictions[inputs], sample))
    by_rival = {name: chrf(sample.references, texts) for name, texts in rivals.items()}
    return compare_metrics(model_chrf, by_rival, sample.resamples)


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
