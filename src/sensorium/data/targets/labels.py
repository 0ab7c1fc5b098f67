"""A target that is any number of labels at once."""

from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sensorium.data.columns.infer import Guess, cell_types
from sensorium.data.columns.parse import CellFormat, convert_cells, count_in_order, is_missing, to_label
from sensorium.data.targets.base import TargetColumn, WrongCell, as_learned, label_positions, labels_of_all


class LabelsTarget:
    """Labels: cells are lists of strings, tensors `labels`, float32 [B, K] of 0 and 1."""

    scored_by = "decision"
    default_head = "labels"
    single_label = False
    repeats_inputs = False
    takes_text = False
    answers_questions = False
    distilled_by = "sigmoid"
    fit = staticmethod(as_learned)

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """Lists, or text with bars between labels."""
        present = values[~is_missing(values)]
        types = cell_types(present)
        if types & {list, tuple, set, np.ndarray}:
            return Guess("labels", "the values are lists")
        if str in types and any("|" in value for value in present if type(value) is str):
            return Guess("labels", "values hold several labels between bars, as in a|b")
        return None

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, WrongCell | None]:
        """Lists of labels."""
        return convert_cells(values, CellFormat(parse_labels, frozenset()))

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """Records of each label, in the order of names; of numbers, where all are."""
        present = cells[~is_missing(cells)]
        return count_in_order(np.array([label for labels in present for label in dict.fromkeys(labels)], dtype=object))

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """The labels that all cells have, when none has any other."""
        return labels_of_all(LabelsTarget.label_counts(cells), cells)

    @staticmethod
    def column(cells: np.ndarray, labels: list[str]) -> TargetColumn:
        """`mask` bool [B] and `labels` float32 [B, K]."""
        present = ~pd.isna(cells)
        counts = np.array([len(cell) if has else 0 for cell, has in zip(cells, present, strict=True)], dtype=np.int64)
        names = np.array(list(chain.from_iterable(cells[present])), dtype=object)
        positions = label_positions(names, np.repeat(np.arange(len(cells)), counts), labels)
        return LabelsColumn(present, counts, positions, len(labels))

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """Number of labels, and how frequent each is, smoothed."""
        target = column(np.arange(count))
        mask = target["mask"].numpy()
        prior = (target["labels"].numpy()[mask].sum(axis=0) + 0.5) / (mask.sum() + 1)
        return {"classes": len(labels), "prior": prior.tolist()}


class LabelsColumn:
    """Labels of N records, of which a batch is spread over K columns when it is asked for.

    present: bool [N]. counts: int64 [N], labels of each record. positions: int64 [sum of counts], among the K labels.
    """

    decodes = False

    def __init__(self, present: np.ndarray, counts: np.ndarray, positions: np.ndarray, width: int):
        self.present, self.counts, self.positions, self.width = present, counts, positions, width
        self.starts = np.cumsum(counts) - counts

    def __call__(self, rows: np.ndarray) -> dict[str, Tensor]:
        """As TargetColumn says."""
        counts = self.counts[rows]
        first = np.repeat(self.starts[rows] - (np.cumsum(counts) - counts), counts)
        encoded = np.zeros((len(rows), self.width), dtype=np.float32)
        encoded[np.repeat(np.arange(len(rows)), counts), self.positions[first + np.arange(counts.sum())]] = 1
        return {"mask": torch.from_numpy(self.present[rows]), "labels": torch.from_numpy(encoded)}


def parse_labels(value: Any) -> list[str]:
    """The labels of a cell: a list's items, or a string's parts between bars; '|' and [] say that there are none."""
    if isinstance(value, list | tuple | set | np.ndarray):
        return [to_label(label) for label in value]
    return [label.strip() for label in to_label(value).split("|") if label.strip()]
