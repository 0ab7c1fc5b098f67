"""Losses as pure functions of embeddings, ids or labels, presence and a temperature."""

from sensorium.objectives.losses.contrastive import bound_logit_scale, sigmoid_contrastive, softmax_contrastive

__all__ = ["bound_logit_scale", "sigmoid_contrastive", "softmax_contrastive"]
