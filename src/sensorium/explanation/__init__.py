"""Explanation: which parts of a picture each word of a text attends to, for what a model decides.

grad_cam.py computes the heat maps, attention_probe.py reads the attention out of the fusion, drawing.py draws them.
"""

from sensorium.explanation.drawing import draw
from sensorium.explanation.grad_cam import Explanation, explain

__all__ = ["Explanation", "draw", "explain"]
