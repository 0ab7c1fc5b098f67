"""evaluate: what a model can be evaluated on, and the report of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.data.marks import count_learned
from sensorium.data.table import Table
from sensorium.errors import UserError, unknown
from sensorium.evaluation.few_shot import FewShotReport, evaluate_few_shot
from sensorium.evaluation.report import Report
from sensorium.evaluation.retrieval import RetrievalReport, evaluate_retrieval, shares_a_space
from sensorium.evaluation.targets import evaluate_targets
from sensorium.evaluation.zero_shot_report import ZeroShotReport, evaluate_zero_shot
from sensorium.features import Batch
from sensorium.files import writable
from sensorium.model import HasModel, Model, model_of
from sensorium.nn.torch_state import usual_torch

# By task: the function that evaluates it, and the options that only some tasks have.
TASKS = {
    "targets": (evaluate_targets, ("batches", "train_seconds", "resamples")),
    "retrieval": (evaluate_retrieval, ("pair", "rerank", "resamples")),
    "zero-shot": (evaluate_zero_shot, ("target", "labels", "templates", "input", "text", "resamples")),
    "few-shot": (evaluate_few_shot, ("target", "shots", "draws", "templates", "input")),
}


@usual_torch()
def evaluate(
    model: HasModel | Model | str | Path,
    records: Table | pd.DataFrame | Iterable[dict] | str | Path,
    task: str | None = None,
    *,
    out: str | Path | None = None,
    bad_records: str = "stop",
    seed: int = 0,
    resamples: int | None = None,
    batches: Iterable[Batch] | None = None,
    train_seconds: float | None = None,
    pair: tuple[str, str] | None = None,
    rerank: int | None = None,
    target: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    templates: str | Path | Sequence[str] | None = None,
    input: str | None = None,
    text: str | None = None,
    shots: str | Sequence[int] | None = None,
    draws: int | None = None,
) -> Report | RetrievalReport | ZeroShotReport | FewShotReport:
    """How good a model is on a table of records: a report to print, to read with `to_dict()`, or to save.

    model: a Run, a Model, or the folder of a run or a checkpoint. records: a Table, a file or folder, a pandas table
    or dicts, with the columns that the model was trained on.
    task: "targets" (the model's own decisions), "retrieval", "zero-shot" or "few-shot"; without it a model with targets
    is judged by its targets, one with a space that inputs share by retrieval.
    out: folder for metrics.json and scores.parquet. bad_records: "stop" at a file that cannot be read, or "skip" such
    records, counted, and listed in bad_records.csv of `out`. seed: from which every draw follows.

    The other parameters belong to the tasks in brackets; None leaves one to its default.
    resamples: bootstrap resamples behind every interval, 2000 (targets, retrieval, zero-shot).
    batches: the records of a Table in its order, where they are at hand, from a feature cache say (targets).
    train_seconds: what the training took, only handed on to the report (targets).
    pair: two inputs; without it every two of which any record has both (retrieval).
    rerank: so many of each query's best are ranked again by the matching head (retrieval).
    target: the column with the labels, which are names (zero-shot, few-shot).
    labels: names, or "cat,dog,bird", or a file with one a line; without it all that `target` has (zero-shot).
    templates: "plain", the default, "simple", "imagenet", a file with one a line, or sentences in which {} is the
    label's place (zero-shot, few-shot).
    input: the input to classify, where there are several (zero-shot, few-shot).
    text: the text input that the labels are, where there are several (zero-shot).
    shots: examples a label, several numbers or "1,4,16", the default (few-shot).
    draws: how often the examples are drawn, 10 (few-shot).

    Raises UserError for a task that the model cannot do, for a parameter that is not the task's, and as
    `evaluate_targets`, `evaluate_retrieval`, `evaluate_zero_shot` and `evaluate_few_shot` do.
    """
    source, model = model, model_of(model)
    if out is not None and (writable(out) / "recipe.yaml").exists():
        raise UserError(
            f"{out} is the folder of a run, whose metrics.json and scores.parquet would be replaced; choose another"
            f" folder, as {Path(out) / 'evaluation'}."
        )
    records = model.read(records)
    options = {
        "resamples": resamples, "batches": batches, "train_seconds": train_seconds, "pair": pair, "rerank": rerank,
        "target": target, "labels": labels, "templates": templates, "input": input, "text": text, "shots": shots,
        "draws": draws,
    }  # fmt: skip
    task = _task_of(model, task)
    own_options = _options_of(task, options)
    function = TASKS[task][0]
    if function is evaluate_targets and not model.decides:
        raise UserError(
            "This model decides on no target, so there are no decisions to score; evaluate it with --task retrieval."
        )
    report = function(model, records, out=out, bad_records=bad_records, seed=seed, **own_options)
    learned = None if isinstance(source, Model) else _count_learned(source, records, model)
    if learned is not None:
        report = replace(report, learned=learned)
        if out is not None:
            report.save(out)
    return report


def _count_learned(source: HasModel | str | Path, records: Table, model: Model) -> int | None:
    """How many of the records the model of a run or a folder learned from; None where it does not say."""
    folder = getattr(source, "folder", source)
    if not isinstance(folder, str | Path):
        return None
    folder = Path(folder) / "model" if (Path(folder) / "model" / "model.json").exists() else Path(folder)
    return count_learned(folder, records, model.schema.inputs)


def _task_of(model: Model, task: str | None) -> str:
    """The name of the task, by default what the model was trained for. Raises UserError for an unknown one."""
    if task is None:
        task = "retrieval" if not model.decides and shares_a_space(model) else "targets"
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    return task


def _options_of(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that are not None. Raises UserError for one that the task does not have."""
    chosen = {name: value for name, value in options.items() if value is not None}
    for name in chosen:
        if name not in TASKS[task][1]:
            owners = " or ".join(f"--task {owner}" for owner, (_, names) in TASKS.items() if name in names)
            raise UserError(f"--{name} says nothing to --task {task}; leave it out, or give {owners}.")
    return chosen
