"""Kinds of decision: each takes what a fusion gives and has a loss of each row, a prediction, and a calibration.

Each declares `kind`, the kind of target it decides ("class", "labels" or "number"); all of them give a row without any
input the training prior.
"""

from sensorium.heads.classes import Classes
from sensorium.heads.labels import Labels
from sensorium.heads.late import Late
from sensorium.heads.number import Number

HEADS = {"classes": Classes, "labels": Labels, "number": Number, "late": Late}
