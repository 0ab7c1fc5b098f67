"""Families: published kinds of model as short compositions. `FAMILIES` maps a name to what a run asks of one."""

from sensorium.families.albef_training import ALBEF
from sensorium.families.clip_training import CLIP

FAMILIES = {"clip": CLIP, "albef": ALBEF}
