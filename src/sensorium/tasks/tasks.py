"""The kinds of runs: learning targets, or pretraining one of the families."""

from sensorium.errors import unknown
from sensorium.families import FAMILIES
from sensorium.tasks.base import Task
from sensorium.tasks.contrastive import ContrastiveTask
from sensorium.tasks.supervised import SupervisedTask


def task_for(family: str | None) -> Task:
    """The kind of run that pretrains `family`, or that learns targets. Raises UserError for an unknown family."""
    if family is None:
        return SupervisedTask()
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    return ContrastiveTask(family, FAMILIES[family])
