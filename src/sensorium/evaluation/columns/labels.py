"""Several labels at once as columns."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.schema import TargetSpec
from sensorium.evaluation.baseline_models import LogisticLabels
from sensorium.evaluation.baselines import LearnedBaselines
from sensorium.evaluation.columns.base import (
    RIGHT_OR_WRONG,
    Calibration,
    named_classes,
    no_breakdowns,
    no_probability,
    no_scatter,
    probability_columns,
    probability_fields,
    probability_row,
    read_probabilities,
)
from sensorium.metrics import Columns

LABELS = pa.list_(pa.string())


class LabelsColumns:
    """Lists of labels, and each label's probability."""

    wrong_decisions = "The records with the largest loss among those that are not decided in full."
    effect_words = RIGHT_OR_WRONG
    labels_of = staticmethod(named_classes)
    row = staticmethod(probability_row)
    scatter = staticmethod(no_scatter)
    baselines = LearnedBaselines(LogisticLabels)
    breakdowns = staticmethod(no_breakdowns)
    probability_of = staticmethod(no_probability)

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """As TargetColumns says."""
        labels = np.array(target.labels, dtype=object)
        true = [
            list(labels[row]) if has else None
            for row, has in zip(truth["labels"].astype(bool), truth["mask"], strict=True)
        ]
        decided = [list(labels[row]) for row in prediction["decision"].astype(bool)]
        return {
            target.name: pa.array(true, LABELS),
            f"{target.name}_decision": pa.array(decided, LABELS),
        } | probability_columns(target, prediction)

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """As TargetColumns says."""
        return {"labels": label_marks(labels, values)}

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """As TargetColumns says."""
        decision = label_marks(labels, frame[f"{name}_decision"])
        return {"decision": decision, "probabilities": read_probabilities(name, labels, frame)}

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """As TargetColumns says."""
        return [pa.field(target.name, LABELS), *probability_fields(target)]

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """The labels."""
        return ", ".join(predicted["decision"]) or "none"

    @staticmethod
    def matches(decision: Iterable[str], truth: Iterable[str]) -> bool:
        """Whether they are the same labels."""
        return set(decision) == set(truth)

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """The largest loss first."""
        rows = np.flatnonzero((prediction["decision"] != truth["labels"]).any(axis=1))
        return rows[np.argsort(-loss[rows], kind="stable")]

    @staticmethod
    def calibration(labels: list[str], truth: Columns, prediction: Columns) -> Calibration:
        """All labels of all rows."""
        axes = ("probability of a label", "share that have it")
        rows = np.repeat(np.arange(len(truth["labels"])), len(labels))
        sure, right = prediction["probabilities"].ravel(), truth["labels"].ravel()
        return Calibration(sure, right, rows, "calibration of all labels", *axes)


def label_marks(labels: list[str], values: pd.Series) -> np.ndarray:
    """bool [M, K]: which labels each value, a list, has."""
    positions = {label: index for index, label in enumerate(labels)}
    marks = np.zeros((len(values), len(labels)), dtype=bool)
    for row, names in enumerate(values):
        marks[row, [positions[name] for name in names]] = True
    return marks
