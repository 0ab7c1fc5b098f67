"""The kinds of runs: learning targets, or pretraining one of the families."""

from sensorium.errors import unknown
from sensorium.families import FAMILIES
from sensorium.tasks.base import Task
from sensorium.tasks.contrastive import Pretraining
from sensorium.tasks.supervised import Fitting


def task_of(family: str | None) -> Task:
    """The kind of run that pretrains `family`, or that learns targets. Raises UserError for an unknown family."""
    if family is None:
        return Fitting()
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    return Pretraining(family, FAMILIES[family])
