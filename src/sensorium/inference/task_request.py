"""What is asked of a model that does tasks, checked against those that it does."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sensorium.encoders.prompt_processor import Task
from sensorium.errors import UserError, unknown
from sensorium.model import Model


class Asked(NamedTuple):
    """What is asked for: tasks by name; the phrase that they are about; the region, x0, y0, x1, y1 in pixels."""

    tasks: tuple[str, ...] = ()
    phrase: str | None = None
    region: tuple[float, ...] | None = None

    @classmethod
    def of(cls, task: str | Sequence[str] | None, phrase: str | None, region: str | Sequence[float] | None) -> "Asked":
        """What a user states. Raises UserError for a phrase that is no text, and a region that is none."""
        if phrase is not None and not isinstance(phrase, str):
            raise UserError(f"The phrase {phrase!r} is no text; state it as one.")
        tasks = (task,) if isinstance(task, str) else tuple(task or ())
        try:
            numbers = region.split(",") if isinstance(region, str) else region
            box = None if numbers is None else tuple(float(number) for number in numbers)
        except (TypeError, ValueError):
            box = ()
        if box is not None and not (
            len(box) == 4 and all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]
        ):
            raise UserError(f"The region {region} is not x0,y0,x1,y1 in pixels with x0 < x1 and y0 < y1; mend it.")
        return cls(tasks, phrase, box)

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Checks what is asked for against the tasks of a model. Raises UserError."""
        for name in self.tasks:
            if name not in tasks:
                raise unknown("task", name, tasks)
        for option, value in (("phrase", self.phrase), ("region", self.region)):
            taking = [name for name, task in tasks.items() if task.takes == option]
            for name in self.tasks:
                if name in taking and (value is None or not str(value).strip()):
                    example = {"phrase": '--phrase "a red car"', "region": "--region 10,20,110,80"}[option]
                    raise UserError(f"The task '{name}' needs a {option}; state it, as {example}.")
            if value is not None and not set(taking) & set(self.tasks):
                raise UserError(
                    f"No {option} is taken by {' or '.join(self.tasks) or 'no task'}; leave it out, or take"
                    f" {', '.join(taking)}."
                )


def prompted_input(model: Model) -> str | None:
    """The input of a model whose prompts are of tasks, None where there is none."""
    return next((name for name, encoder in model.encoders.items() if getattr(encoder.processor, "tasks", None)), None)


def no_task(model: Model, prompts: str) -> UserError:
    """The sentence where pictures are given without a task."""
    tasks = ", ".join(model.encoders[prompts].processor.tasks)
    return UserError(
        f"The model does what a prompt says; state a task ({tasks}), or give a table with the column '{prompts}'."
    )
