"""Losses as pure functions of embeddings, ids or labels, presence and a temperature."""

from sensorium.objectives.losses.contrastive import bound_logit_scale, sigmoid_contrastive, softmax_contrastive
from sensorium.objectives.losses.correlation import canonical_correlation
from sensorium.objectives.losses.information import jensen_shannon
from sensorium.objectives.losses.triplet import triplet

__all__ = [
    "bound_logit_scale",
    "canonical_correlation",
    "jensen_shannon",
    "sigmoid_contrastive",
    "softmax_contrastive",
    "triplet",
]
