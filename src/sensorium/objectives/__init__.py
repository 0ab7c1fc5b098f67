"""Objectives: one file per training signal. `OBJECTIVES` maps a recipe's name to its class."""

from sensorium.objectives.contrastive import Contrastive
from sensorium.objectives.correlation import Correlation
from sensorium.objectives.distillation import Distillation, FeatureDistillation
from sensorium.objectives.dual import Dual
from sensorium.objectives.information import Information
from sensorium.objectives.masked import Masked
from sensorium.objectives.matching import Matching
from sensorium.objectives.momentum_contrastive import MomentumContrastive
from sensorium.objectives.supervised import Supervised
from sensorium.objectives.triplet import Triplet
from sensorium.objectives.uncertainty import Uncertainty

OBJECTIVES = {
    "supervised": Supervised,
    "contrastive": Contrastive,
    "momentum_contrastive": MomentumContrastive,
    "matching": Matching,
    "masked": Masked,
    "triplet": Triplet,
    "information": Information,
    "correlation": Correlation,
    "dual": Dual,
    "distillation": Distillation,
    "feature_distillation": FeatureDistillation,
    "uncertainty": Uncertainty,
}
