"""The kinds of runs: learning targets, or pretraining one of the families."""

from sensorium.errors import unknown
from sensorium.families import FAMILIES
from sensorium.recipe.pretraining import Pretraining
from sensorium.recipe.supervised import Fitting
from sensorium.recipe.task import Task


def task_of(family: str | None) -> Task:
    """The kind of run that pretrains `family`, or that learns targets. Raises UserError for an unknown family."""
    if family is None:
        return Fitting()
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    return Pretraining(family, FAMILIES[family])
