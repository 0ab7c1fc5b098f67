"""Explaining: which places of a picture each word of a text looks at, for what a model decides."""

from sensorium.explain.drawing import draw
from sensorium.explain.grad_cam import Explanation, explain

__all__ = ["Explanation", "draw", "explain"]
