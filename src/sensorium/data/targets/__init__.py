"""The kinds of target: how a kind is recognised in a column, read from its cells, and made tensors.

A kind is one class here, one in `metrics/kinds` and one in `evaluation/columns`, under one name. What it must offer is
`TargetKind` in base.py; a kind from outside is added to the three dictionaries.
"""

import numpy as np

from sensorium.data.columns.infer import Guess
from sensorium.data.targets.answer import AnswerTarget
from sensorium.data.targets.base import CellError, TargetColumn, TargetKind
from sensorium.data.targets.boxes import BoxesTarget
from sensorium.data.targets.class_ import ClassTarget
from sensorium.data.targets.labels import LabelsTarget
from sensorium.data.targets.number import NumberTarget
from sensorium.data.targets.text import TextTarget

TARGETS: dict[str, type[TargetKind]] = {
    "class": ClassTarget,
    "labels": LabelsTarget,
    "number": NumberTarget,
    "answer": AnswerTarget,
    "text": TextTarget,
    "boxes": BoxesTarget,
}

__all__ = ["TARGETS", "CellError", "TargetColumn", "TargetKind", "guess_target"]


def guess_target(values: np.ndarray) -> Guess:
    """The kind of a target that nobody stated, from its raw cells [N], some of them present. Raises Ambiguous."""
    guesses = (kind.infer(values) for kind in TARGETS.values())
    return next(guess for guess in guesses if guess is not None)
