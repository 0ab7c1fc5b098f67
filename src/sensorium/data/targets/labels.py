"""A target that is any number of labels at once."""

import re
from ast import literal_eval
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sensorium.data.columns.infer import Guess, cell_types
from sensorium.data.columns.parse import (
    CellFormat,
    WrongCell,
    convert_cells,
    count_in_order,
    is_missing,
    objects,
    to_label,
)
from sensorium.data.targets.base import TargetColumn, as_learned, label_positions, labels_of_all

_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_LONGEST = 100_000  # characters of a list that is written as text
_NULL = re.compile(r"\b(null|nan|NaN)\b")


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
        if types == {str} and all(isinstance(_parse_list(value), list) for value in present):
            return Guess("labels", "the values are lists, written as text")
        if str in types and any("|" in value for value in present if type(value) is str):
            return Guess("labels", "values hold several labels between bars, as in a|b")
        return None

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """Lists of labels; rows of 0 and 1 as the places of the ones, from 0."""
        parsed = objects([_parse_list(value) for value in values])
        if is_multi_hot(parsed):
            parsed = objects([None if row is None else np.flatnonzero(row).tolist() for row in parsed])
        return convert_cells(parsed, CellFormat(parse_labels, frozenset()))

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
    def column(cells: np.ndarray, labels: list[str], processor: None = None) -> TargetColumn:
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
    """The labels of a cell: a list's items but for absent ones, or a string's parts between bars; '|' and [] say that
    there are none."""
    if isinstance(value, list | tuple | set | np.ndarray):
        return [to_label(label) for label in value if not (pd.api.types.is_scalar(label) and pd.isna(label))]
    return [label.strip() for label in to_label(value).split("|") if label.strip()]


def _parse_list(value: Any) -> Any:
    """A list that is written as text, in the way of JSON or of Python; any other cell as it is."""
    if isinstance(value, str) and len(value) < _LONGEST and _LIST.fullmatch(value):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return literal_eval(_NULL.sub("None", value.strip()))
    return value


def is_multi_hot(cells: np.ndarray) -> bool:
    """Whether the cells [N] are rows of one length that say 0 or 1 of each label, as a list of labels would not."""
    rows = [row for row in cells if isinstance(row, list | tuple | np.ndarray)]
    if not rows or len(rows) < (~is_missing(cells)).sum() or len(set(map(len, rows))) > 1 or len(rows[0]) < 2:
        return False
    if not all(isinstance(mark, bool | int | float | np.number | np.bool_) for row in rows for mark in row):
        return False
    matrix = np.array([list(row) for row in rows], dtype=np.float64)
    repeats = len(matrix[0]) > 2 or (matrix[:, 0] == matrix[:, 1]).any()
    return bool(np.isin(matrix, (0, 1)).all() and repeats)
