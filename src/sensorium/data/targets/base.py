"""What a kind of target offers to the rest of the house, and what several kinds share."""

from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import WrongCell, is_missing
from sensorium.data.schema import Schema, TargetSpec
from sensorium.errors import unknown


class CellError(ValueError):
    """A cell that a target column cannot make a tensor of: `row` from 0, and the `reason` with what to do."""

    def __init__(self, row: int, reason: str):
        super().__init__(reason)
        self.row, self.reason = row, reason


class RecordCells(Protocol):
    """A table, as far as a kind of target reads it."""

    schema: Schema

    def cells(self, name: str, kind: str) -> np.ndarray:
        """The column `name` in the form of `kind`, [N]."""

    def __len__(self) -> int: ...


class TargetColumn(Protocol):
    """A target of N records, made tensors when rows are asked for; pickles, for the loader's workers.

    decodes: whether making the tensors takes time (a file is decoded, say), so that workers do it.
    """

    decodes: bool

    def __call__(self, rows: np.ndarray) -> dict[str, Tensor]:
        """The records `rows`, int64 [B] from 0: `mask`, bool [B], False where the target is absent, and what the
        kind's heads take, [B, ...], zero where it is absent.
        """


class TargetKind(Protocol):
    """A kind of target. All methods are static.

    scored_by: "decision", or "loss" for what is written, drawn or spoken: validation, coalitions and Shapley values
    then look at the loss, and a decision is made once, in the report.
    default_head: the head's name.
    single_label: each record has one of `labels`, so that splits keep their shares, and classes can be balanced.
    repeats_inputs: several records usually ask about one picture, which a split should keep on one side.
    takes_text: a string is a cell without conversion.
    answers_questions: a decision is one text, so that it can answer a question about a picture.
    distilled_by: how a teacher's decision is learned: its probabilities of which one is true ("softmax") or each is
    ("sigmoid"), what it decides in the place of the truth ("loss"), or not at all (None).
    """

    scored_by: ClassVar[Literal["decision", "loss"]]
    default_head: ClassVar[str]
    single_label: ClassVar[bool]
    repeats_inputs: ClassVar[bool]
    takes_text: ClassVar[bool]
    answers_questions: ClassVar[bool]
    distilled_by: ClassVar[Literal["softmax", "sigmoid", "loss"] | None]

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """The guess, with its reason, that raw cells [N], some of them present, are of this kind; None when not.

        Raises Ambiguous when the values do not say.
        """

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """Raw cells [N] in the kind's own form: float64 with NaN, or object with None, where absent; and those that
        cannot be read.
        """

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """How many of the converted cells [N] have each label, in the order of the labels; {} for a kind without
        labels.
        """

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """What all present cells [N] are, in words, when they are all the same: there is nothing to learn then."""

    @staticmethod
    def column(cells: np.ndarray, labels: list[str], processor: Any = None) -> TargetColumn:
        """The lazy column of converted cells [N]. processor: that of the target's head, of a kind whose heads have one;
        None gives what identifies a record's target. Raises CellError for a label that is not among `labels`.
        """

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """What a head of the kind has to know of the `count` training records: settings of its Config.

        balanced: a class's loss weighs by its rarity.
        """

    @staticmethod
    def fit(spec: TargetSpec, records: RecordCells, unscored: RecordCells, inherit: bool) -> TargetSpec:
        """The target with what is learned of it before training, from the `records` that are trained or validated on,
        and from those that are not scored. inherit: the labels are those of the run that is gone on from.
        """


class ArrayColumn:
    """A target column of arrays [N, ...] by key, from which rows are picked."""

    decodes = False

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.tensors = {key: torch.from_numpy(values) for key, values in arrays.items()}

    def __call__(self, rows: np.ndarray) -> dict[str, Tensor]:
        """As TargetColumn says."""
        index = torch.from_numpy(rows)
        return {key: values[index] for key, values in self.tensors.items()}


def labels_of_all(counts: dict[str, float], cells: np.ndarray) -> str | None:
    """The labels in words when every present cell [N] has all of them, so that there is nothing to learn."""
    present = int((~is_missing(cells)).sum())
    return ", ".join(counts) or "no label" if all(count == present for count in counts.values()) else None


def as_learned(spec: TargetSpec, records: RecordCells, unscored: RecordCells, inherit: bool) -> TargetSpec:
    """The target as it is: `fit` of a kind that learns nothing before training."""
    return spec


def label_positions(names: np.ndarray, rows: np.ndarray, labels: list[str]) -> np.ndarray:
    """int64 [M]: the position of each name in `labels`. rows: int64 [M], the record each name is of.

    Raises CellError for the first name that is not there.
    """
    positions = pd.Index(labels, dtype=object).get_indexer(names)
    unlisted = np.flatnonzero(positions < 0)
    if len(unlisted):
        error = unknown("label", names[unlisted[0]], labels)
        raise CellError(int(rows[unlisted[0]]), f"{str(error).removesuffix('.')}; mend it, or leave it empty")
    return positions
