"""Objectives: one file per training signal. `OBJECTIVES` maps a recipe's name to its class."""

from sensorium.objectives.contrastive import Contrastive
from sensorium.objectives.supervised import Supervised

OBJECTIVES = {"supervised": Supervised, "contrastive": Contrastive}
