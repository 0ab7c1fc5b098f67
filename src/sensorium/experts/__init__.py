"""Experts that are not networks: each decides on a target from some inputs, and is learned without gradients.

A name stands for a class that keeps the protocol `Expert` of base.py. How each learns a kind of target is said in
kinds.py, once for all; what is read of an input in views.py.
"""

from sensorium.experts.base import Expert
from sensorium.experts.boosted_trees import BoostedTrees
from sensorium.experts.linear import Linear

EXPERTS: dict[str, type[Expert]] = {"boosted_trees": BoostedTrees, "linear": Linear}

__all__ = ["EXPERTS"]
