"""A target that is one class of several."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import (
    MOST_CLASSES,
    Ambiguous,
    Guess,
    cell_types,
    example,
    is_sentences,
    written_numbers,
)
from sensorium.data.columns.parse import FORMATS, SCALARS, WrongCell, convert_cells, count_in_order, is_missing
from sensorium.data.targets.base import ArrayColumn, TargetColumn, as_learned, label_positions, labels_of_all
from sensorium.data.targets.labels import LabelsTarget

IMBALANCED = 0.8  # share of the larger of two classes above which the threshold of the decision is chosen


class ClassTarget:
    """A class: cells are labels, tensors `label`, int64 [B]."""

    scored_by = "decision"
    default_head = "classes"
    single_label = True
    repeats_inputs = False
    takes_text = True
    answers_questions = True
    distilled_by = "softmax"
    fit = staticmethod(as_learned)

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """True and false, objects, few whole numbers, or few different words; not sentences, mostly different."""
        if LabelsTarget.infer(values) is not None:
            return None
        present = values[~is_missing(values)]
        types = cell_types(present)
        if types <= {bool, np.bool_}:
            return Guess("class", "the values are true or false")
        if not types <= SCALARS | {present.dtype.type}:
            return Guess("class", "the values are objects")
        numbers = written_numbers(present)
        distinct = pd.unique(numbers[~np.isnan(numbers)])
        if not np.isnan(numbers).any():
            few = bool((numbers == np.round(numbers)).all()) and len(distinct) <= MOST_CLASSES
            return Guess("class", f"whole numbers with {len(distinct)} different values") if few else None
        if len(distinct) > MOST_CLASSES:
            word = example(present, np.isnan(numbers))
            share = (~np.isnan(numbers)).mean()
            raise Ambiguous(f"{share:.0%} of its values are numbers, but others are like {word}", "class", "number")
        count = len(pd.unique(present))
        if count > max(MOST_CLASSES, len(present) / 2):
            if types == {str} and is_sentences(present):
                return None
            raise Ambiguous(
                f"its {len(present)} values are {count} different ones, too many to be classes", "class", "labels"
            )
        return Guess("class", f"{count} different values that are not numbers")

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """Labels as strings."""
        return convert_cells(values, FORMATS["category"])

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """Records of each class, in the order of names; of numbers, where all are."""
        return count_in_order(cells[~is_missing(cells)])

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """The only class there is."""
        return labels_of_all(ClassTarget.label_counts(cells), cells)

    @staticmethod
    def column(cells: np.ndarray, labels: list[str], processor: None = None) -> TargetColumn:
        """`mask` bool [B] and `label` int64 [B]."""
        present = ~pd.isna(cells)
        rows = np.flatnonzero(present)
        positions = np.zeros(len(cells), dtype=np.int64)
        positions[rows] = label_positions(cells[present], rows, labels)
        return ArrayColumn({"mask": present, "label": positions})

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """Number of classes, smoothed prior, weights of the classes, and whether a threshold is to be chosen."""
        target = column(np.arange(count))
        counts = np.bincount(target["label"].numpy()[target["mask"].numpy()], minlength=len(labels))
        prior = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
        return {
            "classes": len(counts),
            "prior": prior.tolist(),
            "class_weights": weights.tolist() if balanced else None,
            "choose_threshold": len(counts) == 2 and bool(prior.max() > IMBALANCED),
        }
