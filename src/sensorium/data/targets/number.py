"""A target that is a number."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import MOST_CLASSES, Guess, cell_types, written_numbers
from sensorium.data.columns.parse import SCALARS, WrongCell, convert_numbers, is_missing
from sensorium.data.targets.base import ArrayColumn, TargetColumn, as_learned


class NumberTarget:
    """A number in the user's units: cells are float64, tensors `value`, float64 [B]."""

    scored_by = "decision"
    default_head = "number"
    single_label = False
    repeats_inputs = False
    takes_text = False
    answers_questions = False
    distilled_by = "loss"
    fit = staticmethod(as_learned)

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """Numbers with fractions, or many different whole ones."""
        present = values[~is_missing(values)]
        types = cell_types(present)
        if types <= {bool, np.bool_} or not types <= SCALARS | {present.dtype.type}:
            return None
        numbers = written_numbers(present)
        if np.isnan(numbers).any():
            return None
        count = len(pd.unique(numbers))
        if (numbers != np.round(numbers)).any():
            return Guess("number", "the values are numbers with fractions")
        if count > MOST_CLASSES:
            return Guess("number", f"whole numbers with {count} different values, more than {MOST_CLASSES}")
        return None

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """float64, NaN where absent."""
        return convert_numbers(values)

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """A number has no labels."""
        return {}

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """The only number there is."""
        distinct = pd.unique(cells[~np.isnan(cells)])
        return f"the number {distinct[0]:g}" if len(distinct) == 1 else None

    @staticmethod
    def column(cells: np.ndarray, labels: list[str], processor: None = None) -> TargetColumn:
        """`mask` bool [B] and `value` float64 [B]: a head centres it before it rounds."""
        present = ~np.isnan(cells)
        return ArrayColumn({"mask": present, "value": np.where(present, cells, 0.0)})

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """Mean and spread."""
        target = column(np.arange(count))
        value = target["value"].numpy()[target["mask"].numpy()]
        return {"mean": float(value.mean()), "scale": float(value.std()) or 1.0}
