"""Layers that two or more rooms share."""
