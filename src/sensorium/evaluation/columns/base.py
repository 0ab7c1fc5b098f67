"""What a kind of target offers to be written down, read back and shown, and what several kinds share."""

from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.evaluation.baselines import Compare
from sensorium.evaluation.subgroups import Subgroups
from sensorium.metrics import Columns


class Calibration(NamedTuple):
    """Whether probabilities can be believed: probabilities [S], how right each is [S], the row of each, int64 [S].

    title: which probabilities. x_name, y_name: what the axes are.
    """

    probability: np.ndarray
    correct: np.ndarray
    row: np.ndarray
    title: str
    x_name: str
    y_name: str


class Scatter(NamedTuple):
    """What was decided against what is true, both float [N]."""

    truth: np.ndarray
    decided: np.ndarray


class TargetColumns(Protocol):
    """A kind of target as columns. All methods are static.

    Columns of scores.parquet: `<target>`, the truth, null where it is unknown; `<target>_decision`; and what else the
    kind has, as `<target>_probability_<label>`. Columns of predictions: `<target>` and the same probabilities.
    wrong_decisions: which records `wrong_order` gives, in which order, a sentence. effect_words: how a record is
    called that an input helped, and one that it hurt. baselines: what the model is compared with.
    """

    wrong_decisions: ClassVar[str]
    effect_words: ClassVar[tuple[str, str]]
    baselines: ClassVar[Compare]

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """Truth, decision and probabilities of N records. cells: [N], the truths as the kind reads them."""

    @staticmethod
    def labels_of(class_names: list[str], decisions: pd.Series) -> list[str]:
        """The labels of a saved evaluation: class_names, of metrics.json, or what its decisions say."""

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """The truths of saved records that have the target, [M], as the metrics take them."""

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """The predictions of saved records, [M], as the metrics take them."""

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """The columns of a table of predictions."""

    @staticmethod
    def row(name: str, predicted: dict[str, Any]) -> dict[str, Any]:
        """The cells of one record, from what the head decoded."""

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """What the head decoded, in a few words."""

    @staticmethod
    def matches(decision: Any, truth: Any) -> bool | None:
        """Whether a saved decision is right; None for a kind whose decisions are near or far, not right."""

    @staticmethod
    def probability_of(name: str, record: pd.Series) -> float | None:
        """How probable the decision of a saved record was; None for a kind that does not say."""

    @staticmethod
    def breakdowns(
        target: TargetSpec, table: Table, truth: Columns, prediction: Columns, seed: int
    ) -> dict[str, Subgroups]:
        """By column, how good the decisions are for each type of record; {} for none."""

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """int64: the rows whose decision is wrong, from 0, the surest or the furthest off first."""

    @staticmethod
    def calibration(labels: list[str], truth: Columns, prediction: Columns) -> Calibration | None:
        """Probabilities against what is true; None for a kind without any."""

    @staticmethod
    def scatter(truth: Columns, prediction: Columns) -> Scatter | None:
        """Decisions against truths on one axis; None for a kind that has none."""


RIGHT_OR_WRONG = ("right only with it", "wrong only with it")
"""`effect_words` of a kind whose decisions are right or wrong."""


def no_breakdowns(
    target: TargetSpec, table: Table, truth: Columns, prediction: Columns, seed: int
) -> dict[str, Subgroups]:
    """`breakdowns` of a kind whose records have no types."""
    return {}


def no_calibration(labels: list[str], truth: Columns, prediction: Columns) -> None:
    """`calibration` of a kind without probabilities."""


def no_scatter(truth: Columns, prediction: Columns) -> None:
    """`scatter` of a kind that is not on an axis."""


def no_probability(name: str, record: pd.Series) -> None:
    """`probability_of` of a kind that does not say."""


def named_classes(class_names: list[str], decisions: pd.Series) -> list[str]:
    """`labels_of` of a kind whose labels metrics.json names."""
    return class_names


def probability_columns(target: TargetSpec, prediction: Columns) -> dict[str, pa.Array]:
    """A column for each label's probability."""
    return {
        f"{target.name}_probability_{label}": pa.array(prediction["probabilities"][:, index], pa.float32())
        for index, label in enumerate(target.labels)
    }


def probability_fields(target: TargetSpec) -> list[pa.Field]:
    """The same columns of a table of predictions."""
    return [pa.field(f"{target.name}_probability_{label}", pa.float32()) for label in target.labels]


def probability_row(name: str, predicted: dict[str, Any]) -> dict[str, Any]:
    """The decision and each label's probability."""
    return {name: predicted["decision"]} | {
        f"{name}_probability_{label}": value for label, value in predicted["probabilities"].items()
    }


def read_probabilities(name: str, labels: list[str], frame: pd.DataFrame) -> np.ndarray:
    """float64 [M, K]: the columns of the labels' probabilities."""
    return frame[[f"{name}_probability_{label}" for label in labels]].to_numpy(np.float64)
