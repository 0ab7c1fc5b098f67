"""Families: published kinds of model as short compositions. `FAMILIES` maps a name to what builds one."""

from sensorium.families.clip import clip

FAMILIES = {"clip": clip}
