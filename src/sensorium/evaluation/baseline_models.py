"""Cheap models that a trained one is compared with: linear ones on the words of a text or on columns of a table."""

import warnings
from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sensorium.data.columns.dates import date_features
from sensorium.data.columns.parse import holds_dates
from sensorium.data.columns.reading import Reading
from sensorium.data.schema import InputSpec, Schema, TargetSpec
from sensorium.data.table import Table
from sensorium.experts.kinds import ClassExperts, ExpertKind, LabelsExperts, Matrix, NumberExperts
from sensorium.experts.views import CELLS, WORD, WORDS, Source
from sensorium.metrics import Columns

# What bounds the work: records (of many labels fewer), words and pairs of words, words times labels, letters of a text.
FEWEST_ROWS, MOST_ROWS, MOST_ROWS_BY_LABELS = 5_000, 50_000, 500_000
MOST_WORDS, MOST_WORDS_BY_LABELS = 50_000, 5_000_000
MOST_LETTERS = 5_000
MOST_CATEGORIES = 1_000  # of a column; rarer ones count as one
MOST_COLUMNS_NAMED = 3


class TrainingRecords(NamedTuple):
    """The training records that have a target, a random sample of them where they are too many: then `note` says so.

    rows: which they are of all training records, int64 [N].
    """

    table: Table
    truth: Columns
    note: str
    rows: np.ndarray

    @classmethod
    def of(cls, table: Table, target: TargetSpec, seed: int) -> "TrainingRecords":
        """Those of `table`."""
        columns = {key: tensor.numpy() for key, tensor in table.encode_target(target).items()}
        rows = np.flatnonzero(columns["mask"])
        records = cls(table.take(rows), {key: values[rows] for key, values in columns.items()}, "", rows)
        return records.sample(min(MOST_ROWS, max(FEWEST_ROWS, MOST_ROWS_BY_LABELS // max(1, len(target.labels)))), seed)

    def sample(self, most: int, seed: int) -> "TrainingRecords":
        """At most so many of them."""
        if len(self.rows) <= most:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:most])
        truth = {key: values[chosen] for key, values in self.truth.items()}
        return TrainingRecords(self.table.take(chosen), truth, f" ({most:,} records)", self.rows[chosen])


class BaselineModel(Protocol):
    """How cheap models learn a kind of target. constant: how the training prior is called; method: the linear model.
    score_name: what `score` is called. learner: what fits. word_strength: how free the weights of words are."""

    constant: ClassVar[str]
    method: ClassVar[str]
    score_name: ClassVar[str]
    learner: ClassVar[type[ExpertKind]]
    word_strength: ClassVar[float]

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """How good predictions are, the more the better."""

    @staticmethod
    def learned(truth: Columns) -> np.ndarray:
        """The truth as the `learner` takes it, [N] or [N, K]."""

    @staticmethod
    def decide(raw: np.ndarray, truth: Columns, metric: str) -> Columns:
        """What raw outputs, float64 [M, K], predict, as the metrics take it. truth: of the records learned from.
        metric: by which predictions are judged."""


class LogisticClass:
    """A class by logistic regression."""

    constant = "always the commonest class"
    method = "logistic regression"
    score_name = "accuracy"
    learner = ClassExperts
    word_strength = 10.0  # rows of TF-IDF have length one

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """The share that is right."""
        return float((predicted["decision"] == truth["label"]).mean())

    @staticmethod
    def learned(truth: Columns) -> np.ndarray:
        """As BaselineModel says."""
        return truth["label"]

    @staticmethod
    def decide(raw: np.ndarray, truth: Columns, metric: str) -> Columns:
        """As BaselineModel says; where balanced accuracy judges, classes weigh the same."""
        probabilities = softmax(raw, axis=1)
        judged = probabilities
        if metric == "balanced_accuracy":
            judged = probabilities / np.maximum(1, np.bincount(truth["label"], minlength=raw.shape[1]))
        return {"probabilities": probabilities, "decision": judged.argmax(axis=1)}


class LogisticLabels:
    """Labels by a logistic regression each."""

    constant = "each label's share of the records"
    method = "logistic regression"
    score_name = "share of labels right"
    learner = LabelsExperts
    word_strength = 10.0

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """The share of the labels, of all records, that is right."""
        return float((predicted["decision"] == (truth["labels"] > 0)).mean())

    @staticmethod
    def learned(truth: Columns) -> np.ndarray:
        """As BaselineModel says."""
        return (truth["labels"] > 0).astype(np.int64)

    @staticmethod
    def decide(raw: np.ndarray, truth: Columns, metric: str) -> Columns:
        """As BaselineModel says."""
        return {"probabilities": expit(raw), "decision": raw > 0}


class RidgeNumber:
    """A number by ridge regression."""

    constant = "always the mean"
    method = "ridge regression"
    score_name = "R²"
    learner = NumberExperts
    word_strength = 1.0

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """R²."""
        return float(r2_score(truth["value"], predicted["decision"]))

    @staticmethod
    def learned(truth: Columns) -> np.ndarray:
        """As BaselineModel says; standardised."""
        value = truth["value"].astype(np.float64)
        return (value - value.mean()) / (value.std() or 1.0)

    @staticmethod
    def decide(raw: np.ndarray, truth: Columns, metric: str) -> Columns:
        """As BaselineModel says."""
        value = truth["value"].astype(np.float64)
        return {"decision": value.mean() + (value.std() or 1.0) * raw[:, 0]}


def predict_linear(
    model: type[BaselineModel], features: Matrix, truth: Columns, scored: Matrix, labels: int, metric: str
) -> Columns:
    """What a linear model that learned `truth` from `features` predicts for the features `scored`.

    labels: how many the target has. metric: by which it is judged.
    """
    strength = 1.0 if isinstance(features, np.ndarray) else model.word_strength
    weight, bias = model.learner.fit_linear(features, model.learned(truth), max(1, labels), strength)
    return model.decide(scored @ weight + bias, truth, metric)


class TextSource(NamedTuple):
    """The words of a text."""

    spec: InputSpec

    @property
    def name(self) -> str:
        """What a reader is told."""
        return f"TF-IDF of {self.spec.name}"

    @property
    def reads(self) -> list[Source]:
        """What an expert would read."""
        return [Source(self.spec.name, WORDS)]

    def features(self, training: Table, scored: Table, labels: int) -> tuple[Matrix, Matrix]:
        """Of training and scored records: how much rarer words and pairs of words weigh; zero for an absent text."""
        most = min(MOST_WORDS, MOST_WORDS_BY_LABELS // max(1, labels))
        words = TfidfVectorizer(token_pattern=WORD.pattern, ngram_range=(1, 2), sublinear_tf=True, max_features=most)
        learned = words.fit_transform(self._texts(training))
        return learned, words.transform(self._texts(scored))

    def _texts(self, table: Table) -> list[str]:
        cells = (table.value(row, self.spec) for row in range(len(table)))
        return ["" if cell is None else str(cell)[:MOST_LETTERS] for cell in cells]


class CellSource(NamedTuple):
    """Columns of numbers, categories and dates."""

    specs: list[InputSpec]

    @property
    def name(self) -> str:
        """What a reader is told."""
        columns = [name for spec in self.specs for name in spec.columns]
        if len(columns) <= MOST_COLUMNS_NAMED:
            return ", ".join(columns)
        return f"{len(columns)} columns of numbers, categories and dates"

    @property
    def reads(self) -> list[Source]:
        """What an expert would read."""
        return [Source(spec.name, CELLS) for spec in self.specs]

    def features(self, training: Table, scored: Table, labels: int) -> tuple[Matrix, Matrix]:
        """Of training and scored records: numbers of equal spread, the median where absent, and whether they are;
        categories as 0 and 1, unknown ones as 0.
        """
        learned, applied, numbers, names = self._frames(training, scored)
        scaled = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
        )
        encoded = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES)
        transformer = make_column_transformer((scaled, numbers), (encoded, names), sparse_threshold=0)
        with warnings.catch_warnings(action="ignore"):  # of categories that are unknown
            return transformer.fit_transform(learned), transformer.transform(applied)

    def codes(self, training: Table, scored: Table) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Of training and scored records, float64 [N, C]: numbers, then categories as numbers from 1, unknown ones as
        0; NaN where absent. And how many categories each of the C columns has, 0 of a number.
        """
        *frames, numbers, names = self._frames(training, scored)
        values = {name: pd.Index(frames[0][name].unique()).drop("", errors="ignore") for name in names}
        coded = [
            np.column_stack(
                [frame[numbers].to_numpy(np.float64)]
                + [np.where(frame[name] == "", np.nan, values[name].get_indexer(frame[name]) + 1.0) for name in names]
            )
            for frame in frames
        ]
        return coded[0], coded[1], [0] * len(numbers) + [len(values[name]) + 1 for name in names]

    def _frames(self, training: Table, scored: Table) -> tuple[pd.DataFrame, pd.DataFrame, list[str], list[str]]:
        """The cells of training and scored records, and which columns are numbers, NaN where absent, and which are
        categories, "" where absent."""
        learned, applied = (pd.DataFrame(dict(self._cells(table))) for table in (training, scored))
        names = [name for name in learned if learned[name].dtype.kind != "f"]
        for frame in (learned, applied):
            frame[names] = frame[names].astype(object).where(frame[names].notna(), "")
        return learned, applied, [name for name in learned if name not in names], names

    def _cells(self, table: Table) -> Iterator[tuple[str, np.ndarray]]:
        """Each column of numbers and categories, and what is read of each column of dates."""
        for column in (table.schema.column(name) for spec in self.specs for name in spec.columns):
            cells = table.cells(column.name, column.kind)
            if holds_dates(column.kind):
                hours = (table.reading(column.name) or Reading()).hours
                features = date_features(cells, hours)
                yield from ((f"{column.name} ({feature})", values) for feature, values in features.items())
            else:
                yield column.name, cells


def sources(schema: Schema) -> list[TextSource | CellSource]:
    """What of the inputs a cheap model can read: each text, and all numbers, categories and dates together."""
    texts = [TextSource(spec) for spec in schema.inputs if spec.modality == "text"]
    cells = [spec for spec in schema.inputs if spec.modality == "table"]
    return [*texts, *([CellSource(cells)] if cells else [])]
