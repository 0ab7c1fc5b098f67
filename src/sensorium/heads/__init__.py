"""Kinds of decision: each takes what a fusion gives and has a loss of each row, a prediction, and a calibration.

Each declares `kind`, what it decides: a target's kind, whose heads give a row without any input the training prior and
`decode` a prediction to plain values; or "match" or "words", which families train. `reads = "pooled"` says that a
head needs the summary alone. `writes = True` says that it spells its decision token by token, so that it needs the
tokens of a text input. A head with `scores` and a `Decision` can be one of several experts (see late.py).
"""

from sensorium.heads.ensemble import Ensemble
from sensorium.heads.late import Late
from sensorium.heads.single import HEADS

HEADS["late"] = Late
HEADS["ensemble"] = Ensemble

__all__ = ["HEADS"]
