"""Families: published kinds of model as short compositions. `FAMILIES` maps a name to what a run asks of one."""

from sensorium.families.albef_training import AlbefFamily, AlbefSettings
from sensorium.families.clip_training import ClipFamily, ClipSettings
from sensorium.families.family import Family

FAMILIES: dict[str, Family] = {"clip": ClipFamily(), "albef": AlbefFamily()}
FamilySettings = ClipSettings | AlbefSettings  # told apart by `name`
