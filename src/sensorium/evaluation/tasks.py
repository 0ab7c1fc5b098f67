"""What a model can be evaluated on, and which of it is meant."""

from pathlib import Path
from typing import Any

from sensorium.data.table import Table
from sensorium.errors import UserError, unknown
from sensorium.evaluation.evaluate import evaluate
from sensorium.evaluation.few_shot import FewShotReport, evaluate_few_shot
from sensorium.evaluation.report import Report
from sensorium.evaluation.retrieval import RetrievalReport, evaluate_retrieval, shares_a_space
from sensorium.evaluation.zero_shot_report import ZeroShotReport, evaluate_zero_shot
from sensorium.model import Model

# By task: what carries it out, and which options are its own.
TASKS = {
    "targets": (evaluate, ("batches", "train_seconds", "resamples")),
    "retrieval": (evaluate_retrieval, ("pair", "rerank", "resamples")),
    "zero-shot": (evaluate_zero_shot, ("target", "labels", "templates", "input", "text", "resamples")),
    "few-shot": (evaluate_few_shot, ("target", "shots", "draws", "templates", "input")),
}


def evaluate_task(
    model: Model,
    table: Table,
    task: str | None = None,
    *,
    out: str | Path | None = None,
    bad_records: str = "stop",
    seed: int = 0,
    **options: Any,
) -> Report | RetrievalReport | ZeroShotReport | FewShotReport:
    """The report of a task: "targets" (a model's own decisions), "retrieval", "zero-shot" or "few-shot".

    Without a `task` a model with targets is judged by its targets, one with a space that inputs share by retrieval.
    bad_records: "stop" at a file that cannot be read, or "skip" such records. seed: that chance follows
    from. `options` are those of the task's function; one that is None is left to it.
    Raises UserError for a task that the model cannot do, for an option that is not the task's, and as that function
    does.
    """
    task = _named(task) or ("retrieval" if not model.decides and shares_a_space(model) else "targets")
    function, own = TASKS[task]
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - set(own):
        owners = " or ".join(f"--task {other}" for other, (_, names) in TASKS.items() if name in names)
        raise UserError(f"--{name} says nothing to --task {task}; leave it out{owners and f', or give {owners}'}.")
    if task == "targets" and not model.decides:
        raise UserError(
            "This model decides on no target, so there are no decisions to score; evaluate it with --task retrieval."
        )
    return function(model, table, out=out, bad_records=bad_records, seed=seed, **given)


def _named(task: str | None) -> str | None:
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    return task
