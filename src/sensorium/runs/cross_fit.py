"""Models of other folds: so that every training record, not the validation records alone, is judged by a model that did
not learn from it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn.model_selection import GroupKFold

from sensorium.data.records import Records
from sensorium.heads.ensemble import Judged
from sensorium.model import Model
from sensorium.runs.loaders import select_records
from sensorium.tasks.base import RunContext, Task
from sensorium.tasks.splits import Split
from sensorium.training.state import TrainingState

FOLDS = 4  # of the training records, beside the validation records


def cross_fit(
    task: Task,
    train: Callable[..., TrainingState],
    start: Callable[[], Model],
    splits: dict[str, Split],
    records: dict[str, Records],
    like: Model,
    fingerprint: str,
    context: RunContext,
) -> tuple[list[dict[str, Judged]], list[TrainingState]]:
    """For each of FOLDS a model that learns from all training and validation records but the fold's, and is judged on
    these; how each of their trainings went.

    train, start: `train_with_validation` and `initial_model` of the pipeline. like: the model whose experts' settings
    are taken.
    """
    known, judged, states = splits["train_val"], [], []
    rows = np.isin(known.table.rows, splits["train"].table.rows).nonzero()[0]
    for number, fold in enumerate(_folds(known, rows, context.recipe.seed), start=1):
        left_out = np.isin(np.arange(len(known.table)), fold)
        parts = {"train": _part(known, "train", ~left_out), "validation": _part(known, "validation", left_out)}
        of_fold = {name: select_records(records["train_val"], part) for name, part in parts.items()}
        model = start().to(context.accelerator.device)
        inside = replace(context, work_folder=context.run_folder / "folds" / str(number))
        states.append(
            train(
                model, parts, of_fold, f"{fingerprint} {number}", inside, f"Training, fold {number + 1} of {FOLDS + 1}"
            )
        )
        task.join_experts(model, parts["train"], of_fold["train"], inside, like=like)
        judged.append(task.judge(model, of_fold["validation"]))
    return judged, states


def _folds(known: Split, rows: np.ndarray, seed: int) -> list[np.ndarray]:
    """Folds of the records `rows` of a split, int64 each, none of which parts records that belong together."""
    together = np.arange(len(rows)) if known.together is None else known.together[rows]
    count = min(FOLDS, len(np.unique(together)))
    if count < 2:
        return []
    splitter = GroupKFold(count, shuffle=True, random_state=(seed + 1) % 2**31)
    return [rows[left_out] for _, left_out in splitter.split(rows, groups=together)]


def _part(split: Split, name: str, chosen: np.ndarray) -> Split:
    rows = np.flatnonzero(chosen)
    ids = {input_name: values[rows] for input_name, values in split.ids.items()}
    together = None if split.together is None else split.together[rows]
    return Split(name, split.table.take(rows), ids, together)
