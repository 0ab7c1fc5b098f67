"""Cheap models that a trained one is compared with: linear ones on the words of a text or on columns of a table."""

import warnings
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sensorium.data.schema import InputSpec, Schema, TargetSpec
from sensorium.data.table import Table
from sensorium.metrics import Columns

Matrix = csr_array | np.ndarray  # float [N, features]

# What bounds the work: records (of many labels fewer), words and pairs of words, words times labels, letters of a text.
FEWEST_ROWS, MOST_ROWS, MOST_ROWS_BY_LABELS = 5_000, 50_000, 500_000
MOST_WORDS, MOST_WORDS_BY_LABELS = 50_000, 5_000_000
MOST_LETTERS = 5_000
MOST_CATEGORIES = 1_000  # of a column; rarer ones count as one
MOST_COLUMNS_NAMED = 3
STEPS = 50  # of the optimiser
WORDS = r"[^\W\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]"  # scripts without spaces letter by letter


class TrainingRecords(NamedTuple):
    """The training records that have a target, a random sample of them where they are too many: then `note` says so."""

    table: Table
    truth: Columns
    note: str

    @classmethod
    def of(cls, table: Table, target: TargetSpec, seed: int) -> "TrainingRecords":
        """Those of `table`."""
        columns = {key: tensor.numpy() for key, tensor in table.encode_target(target).items()}
        rows = np.flatnonzero(columns["mask"])
        most = min(MOST_ROWS, max(FEWEST_ROWS, MOST_ROWS_BY_LABELS // max(1, len(target.labels))))
        note = "" if len(rows) <= most else f" ({most:,} records)"
        if note:
            rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
        return cls(table.take(rows), {key: values[rows] for key, values in columns.items()}, note)


class BaselineModel(Protocol):
    """A cheap model of a kind of target. constant: how the training prior is called; method: the model. score_name:
    what `score` is called."""

    constant: ClassVar[str]
    method: ClassVar[str]
    score_name: ClassVar[str]

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """How good predictions are, the more the better."""

    @staticmethod
    def predict(features: Matrix, truth: Columns, scored: Matrix, labels: int, metric: str) -> Columns:
        """What a model that learned `truth` from `features` predicts for the features `scored`, as the metrics take it.

        labels: how many the target has. metric: by which it is judged.
        """


class LogisticClass:
    """A class by logistic regression."""

    constant = "always the commonest class"
    method = "logistic regression"
    score_name = "accuracy"

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """The share that is right."""
        return float((predicted["decision"] == truth["label"]).mean())

    @staticmethod
    def predict(features: Matrix, truth: Columns, scored: Matrix, labels: int, metric: str) -> Columns:
        """As BaselineModel says; where balanced accuracy judges, classes weigh the same."""
        weight = "balanced" if metric == "balanced_accuracy" else None
        model = _logistic(features, weight)
        with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
            model.fit(features, truth["label"])
        probabilities = np.zeros((scored.shape[0], labels))
        probabilities[:, model.classes_] = model.predict_proba(scored)
        return {"probabilities": probabilities, "decision": probabilities.argmax(axis=1)}


class LogisticLabels:
    """Labels by a logistic regression each."""

    constant = "each label's share of the records"
    method = "logistic regression"
    score_name = "share of labels right"

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """The share of the labels, of all records, that is right."""
        return float((predicted["decision"] == (truth["labels"] > 0)).mean())

    @staticmethod
    def predict(features: Matrix, truth: Columns, scored: Matrix, labels: int, metric: str) -> Columns:
        """As BaselineModel says."""
        with warnings.catch_warnings(action="ignore"):  # of labels that all records have or none
            model = OneVsRestClassifier(_logistic(features, None)).fit(features, truth["labels"].astype(int))
        probabilities = model.predict_proba(scored)  # [N, K]
        return {"probabilities": probabilities, "decision": probabilities > 0.5}


class RidgeNumber:
    """A number by ridge regression."""

    constant = "always the mean"
    method = "ridge regression"
    score_name = "R²"

    @staticmethod
    def score(truth: Columns, predicted: Columns) -> float:
        """R²."""
        return float(r2_score(truth["value"], predicted["decision"]))

    @staticmethod
    def predict(features: Matrix, truth: Columns, scored: Matrix, labels: int, metric: str) -> Columns:
        """As BaselineModel says."""
        return {"decision": Ridge(max_iter=STEPS).fit(features, truth["value"]).predict(scored)}


def _logistic(features: Matrix, weight: str | None) -> LogisticRegression:
    # The rows of TF-IDF have length one, so that weights have to be larger.
    return LogisticRegression(C=1.0 if isinstance(features, np.ndarray) else 10.0, max_iter=STEPS, class_weight=weight)


class TextSource(NamedTuple):
    """The words of a text."""

    spec: InputSpec

    @property
    def name(self) -> str:
        """What a reader is told."""
        return f"TF-IDF of {self.spec.name}"

    def features(self, training: Table, scored: Table, labels: int) -> tuple[Matrix, Matrix]:
        """Of training and scored records: how much rarer words and pairs of words weigh; zero for an absent text."""
        most = min(MOST_WORDS, MOST_WORDS_BY_LABELS // max(1, labels))
        words = TfidfVectorizer(token_pattern=WORDS, ngram_range=(1, 2), sublinear_tf=True, max_features=most)
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

    def features(self, training: Table, scored: Table, labels: int) -> tuple[Matrix, Matrix]:
        """Of training and scored records: numbers of equal spread, the median where absent, and whether they are;
        categories as 0 and 1, unknown ones as 0.
        """
        learned, applied = self._cells(training), self._cells(scored)
        applied = applied.reindex(columns=learned.columns)
        names = [name for name in learned if learned[name].map(type).eq(str).any()]
        numbers = [name for name in learned if name not in names]
        for frame in (learned, applied):
            frame[numbers] = frame[numbers].astype(float)
            frame[names] = frame[names].astype(object).where(frame[names].notna(), "")
        scaled = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
        )
        encoded = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES)
        transformer = make_column_transformer((scaled, numbers), (encoded, names), sparse_threshold=0)
        with warnings.catch_warnings(action="ignore"):  # of categories that are unknown
            return transformer.fit_transform(learned), transformer.transform(applied)

    def _cells(self, table: Table) -> pd.DataFrame:
        rows = [
            {name: cell for spec in self.specs for name, cell in (table.value(row, spec) or {}).items()}
            for row in range(len(table))
        ]
        return pd.DataFrame(rows, index=range(len(table)))


def sources(schema: Schema) -> list[TextSource | CellSource]:
    """What of the inputs a cheap model can read: each text, and all numbers, categories and dates together."""
    texts = [TextSource(spec) for spec in schema.inputs if spec.modality == "text"]
    cells = [spec for spec in schema.inputs if spec.modality == "table"]
    return [*texts, *([CellSource(cells)] if cells else [])]
