"""Objectives: one file per training signal. `OBJECTIVES` maps a recipe's name to its class."""

from sensorium.objectives.contrastive import Contrastive
from sensorium.objectives.correlation import Correlation
from sensorium.objectives.information import Information
from sensorium.objectives.supervised import Supervised
from sensorium.objectives.triplet import Triplet

OBJECTIVES = {
    "supervised": Supervised,
    "contrastive": Contrastive,
    "triplet": Triplet,
    "information": Information,
    "correlation": Correlation,
}
