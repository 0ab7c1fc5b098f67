"""How each kind of target is written down and read back: one class a kind, under the kind's name.

Plain values become Arrow columns, cells to print and the truths and predictions of a saved evaluation. What a kind must
offer is `TargetColumns` in base.py.
"""

from sensorium.evaluation.columns.answer import AnswerColumns
from sensorium.evaluation.columns.base import Calibration, Scatter, TargetColumns
from sensorium.evaluation.columns.boxes import BoxesColumns
from sensorium.evaluation.columns.class_ import ClassColumns
from sensorium.evaluation.columns.labels import LabelsColumns
from sensorium.evaluation.columns.number import NumberColumns
from sensorium.evaluation.columns.text import TextColumns

TARGET_COLUMNS: dict[str, type[TargetColumns]] = {
    "class": ClassColumns,
    "labels": LabelsColumns,
    "number": NumberColumns,
    "answer": AnswerColumns,
    "text": TextColumns,
    "boxes": BoxesColumns,
}

__all__ = ["TARGET_COLUMNS", "Calibration", "Scatter", "TargetColumns"]
