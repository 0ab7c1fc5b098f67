"""A number as columns."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.schema import TargetSpec
from sensorium.evaluation.baseline_models import RidgeNumber
from sensorium.evaluation.baselines import LearnedBaselines
from sensorium.evaluation.columns.base import Scatter, named_classes, no_breakdowns, no_calibration, no_probability
from sensorium.metrics import Columns


class NumberColumns:
    """Numbers in the user's units."""

    wrong_decisions = "The records that are furthest off."
    effect_words = ("an error at least halved by it", "an error at least doubled by it")
    labels_of = staticmethod(named_classes)
    calibration = staticmethod(no_calibration)
    baselines = LearnedBaselines(RidgeNumber)
    breakdowns = staticmethod(no_breakdowns)
    probability_of = staticmethod(no_probability)

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """As TargetColumns says."""
        return {
            target.name: pa.array(truth["value"].astype(np.float64), pa.float64(), mask=~truth["mask"]),
            f"{target.name}_decision": pa.array(prediction["decision"].astype(np.float64), pa.float64()),
        }

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """As TargetColumns says."""
        return {"value": values.to_numpy(np.float64)}

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """As TargetColumns says."""
        return {"decision": frame[f"{name}_decision"].to_numpy(np.float64)}

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """As TargetColumns says."""
        return [pa.field(target.name, pa.float64())]

    @staticmethod
    def row(name: str, predicted: dict[str, Any]) -> dict[str, Any]:
        """The number."""
        return {name: predicted["decision"]}

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """The number in three digits."""
        return f"{predicted['decision']:.3g}"

    @staticmethod
    def matches(decision: float, truth: float) -> None:
        """A number is near or far."""

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """All rows, the furthest off first."""
        return np.argsort(-loss, kind="stable")

    @staticmethod
    def scatter(truth: Columns, prediction: Columns) -> Scatter:
        """Decided against true."""
        return Scatter(truth["value"], prediction["decision"])
