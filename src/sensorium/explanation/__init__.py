"""Explaining: which places of a picture each word of a text looks at, for what a model decides."""

from sensorium.explanation.drawing import draw
from sensorium.explanation.grad_cam import Explanation, explain

__all__ = ["Explanation", "draw", "explain"]
