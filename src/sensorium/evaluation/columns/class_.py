"""A class as columns."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.schema import TargetSpec
from sensorium.evaluation.baseline_models import LogisticClass
from sensorium.evaluation.baselines import LearnedBaselines
from sensorium.evaluation.columns.base import (
    RIGHT_OR_WRONG,
    Calibration,
    named_classes,
    no_breakdowns,
    no_scatter,
    probability_columns,
    probability_fields,
    probability_row,
    read_probabilities,
)
from sensorium.metrics import Columns


class ClassColumns:
    """Labels, and each label's probability."""

    wrong_decisions = "Wrong decisions, the most probable first."
    effect_words = RIGHT_OR_WRONG
    labels_of = staticmethod(named_classes)
    row = staticmethod(probability_row)
    scatter = staticmethod(no_scatter)
    baselines = LearnedBaselines(LogisticClass)
    breakdowns = staticmethod(no_breakdowns)

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """As TargetColumns says."""
        labels, mask = np.array(target.labels, dtype=object), truth["mask"]
        return {
            target.name: pa.array(labels[np.where(mask, truth["label"], 0)], pa.string(), mask=~mask),
            f"{target.name}_decision": pa.array(labels[prediction["decision"]], pa.string()),
        } | probability_columns(target, prediction)

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """As TargetColumns says."""
        return {"label": label_positions(labels, values)}

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """As TargetColumns says."""
        decision = label_positions(labels, frame[f"{name}_decision"])
        return {"decision": decision, "probabilities": read_probabilities(name, labels, frame)}

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """As TargetColumns says."""
        return [pa.field(target.name, pa.string()), *probability_fields(target)]

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """The class and its probability."""
        decision = predicted["decision"]
        return f"{decision} ({predicted['probabilities'][decision]:.2f})"

    @staticmethod
    def matches(decision: str, truth: str) -> bool:
        """Whether they are the same class."""
        return decision == truth

    @staticmethod
    def probability_of(name: str, record: pd.Series) -> float:
        """The decided class's."""
        return record[f"{name}_probability_{record[f'{name}_decision']}"]

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """The most probable first."""
        rows = np.flatnonzero(prediction["decision"] != truth["label"])
        sure = prediction["probabilities"][rows, prediction["decision"][rows]]
        return rows[np.argsort(-sure, kind="stable")]

    @staticmethod
    def calibration(labels: list[str], truth: Columns, prediction: Columns) -> Calibration:
        """The most probable class."""
        probabilities = prediction["probabilities"]
        right = probabilities.argmax(axis=1) == truth["label"]
        axes = ("probability of the decision", "share that is right")
        return Calibration(probabilities.max(axis=1), right, np.arange(len(right)), "calibration", *axes)


def label_positions(labels: list[str], values: pd.Series) -> np.ndarray:
    """int64 [M]: the position of each value among the labels."""
    return values.map({label: index for index, label in enumerate(labels)}).to_numpy(np.int64)
