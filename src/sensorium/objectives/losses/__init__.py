"""Losses as pure functions of embeddings, ids or labels, presence and a temperature."""

from sensorium.objectives.losses.contrastive import bound_logit_scale, sigmoid_contrastive, softmax_contrastive
from sensorium.objectives.losses.correlation import canonical_correlation
from sensorium.objectives.losses.distillation import class_divergence, label_divergence
from sensorium.objectives.losses.dual import dual
from sensorium.objectives.losses.information import jensen_shannon
from sensorium.objectives.losses.triplet import triplet

__all__ = [
    "bound_logit_scale",
    "canonical_correlation",
    "class_divergence",
    "dual",
    "jensen_shannon",
    "label_divergence",
    "sigmoid_contrastive",
    "softmax_contrastive",
    "triplet",
]
