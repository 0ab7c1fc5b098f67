"""What differs between the kinds of runs: `TASKS` maps a kind's name to its class."""

from sensorium.tasks.base import Task
from sensorium.tasks.contrastive import ContrastiveTask
from sensorium.tasks.supervised import SupervisedTask

TASKS: dict[str, type[Task]] = {"supervised": SupervisedTask, "contrastive": ContrastiveTask}

__all__ = ["TASKS", "Task"]
