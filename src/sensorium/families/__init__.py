"""Families: published kinds of model as short compositions. `FAMILIES` maps a name to what a run asks of one."""

from sensorium.families.albef_training import AlbefFamily, AlbefSettings
from sensorium.families.clip_training import ClipFamily, ClipSettings
from sensorium.families.family import Family
from sensorium.families.florence_training import FlorenceFamily, FlorenceSettings

FAMILIES: dict[str, Family] = {"clip": ClipFamily(), "albef": AlbefFamily(), "florence": FlorenceFamily()}
FamilySettings = ClipSettings | AlbefSettings | FlorenceSettings  # told apart by `name`
