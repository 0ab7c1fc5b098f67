"""Answers as columns."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.columns.parse import objects
from sensorium.data.schema import TargetSpec
from sensorium.data.targets.answer_text import encode_answers
from sensorium.evaluation.baselines import answer_baselines
from sensorium.evaluation.columns.base import RIGHT_OR_WRONG, Calibration, no_scatter
from sensorium.evaluation.columns.class_ import label_positions
from sensorium.evaluation.question_types import question_types
from sensorium.metrics import Columns, exact_match, vqa_accuracy


class AnswerColumns:
    """The truth is the list of what each annotator said, normalised; the decision is one answer and its probability."""

    wrong_decisions = "Answers that most people did not give, the most probable first."
    effect_words = RIGHT_OR_WRONG
    scatter = staticmethod(no_scatter)
    baselines = staticmethod(answer_baselines)
    breakdowns = staticmethod(question_types)

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """As TargetColumns says."""
        decided = np.array(target.labels, dtype=object)[prediction["decision"]]
        return {
            target.name: pa.array(cells.tolist(), pa.list_(pa.string())),
            f"{target.name}_decision": pa.array(decided, pa.string()),
            f"{target.name}_probability": pa.array(prediction["probability"], pa.float32()),
        }

    @staticmethod
    def labels_of(class_names: list[str], decisions: pd.Series) -> list[str]:
        """The answers that were decided for."""
        return sorted(set(decisions))

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """As TargetColumns says."""
        return encode_answers(objects([list(answers) for answers in values]), labels)

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """As TargetColumns says."""
        decision = label_positions(labels, frame[f"{name}_decision"])
        return {"decision": decision, "probability": frame[f"{name}_probability"].to_numpy(np.float64)}

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """As TargetColumns says."""
        return [pa.field(target.name, pa.string()), pa.field(f"{target.name}_probability", pa.float32())]

    @staticmethod
    def row(name: str, predicted: dict[str, Any]) -> dict[str, Any]:
        """The answer and its probability."""
        return {name: predicted["decision"], f"{name}_probability": predicted["probability"]}

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """The answer and its probability."""
        return f"{predicted['decision']} ({predicted['probability']:.2f})"

    @staticmethod
    def matches(decision: str, truth: Collection[str]) -> bool:
        """Whether any annotator gave the answer."""
        return decision in set(truth)

    @staticmethod
    def probability_of(name: str, record: pd.Series) -> float:
        """The decided answer's."""
        return record[f"{name}_probability"]

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """The most probable first."""
        rows = np.flatnonzero(exact_match(truth, prediction["decision"]) == 0)
        return rows[np.argsort(-prediction["probability"][rows], kind="stable")]

    @staticmethod
    def calibration(labels: list[str], truth: Columns, prediction: Columns) -> Calibration:
        """The decided answer, against its VQA accuracy."""
        right = vqa_accuracy(truth, prediction["decision"])
        axes = ("probability of the decision", "its VQA accuracy")
        return Calibration(prediction["probability"], right, np.arange(len(right)), "calibration", *axes)
