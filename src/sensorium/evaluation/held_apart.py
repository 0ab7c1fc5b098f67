"""What a score is worth where the values of a column repeat like a source: with the sources mixed, and held apart."""

import warnings
from collections.abc import Iterable

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from sensorium.data.table import Table
from sensorium.evaluation.baseline_models import (
    BaselineModel,
    CellSource,
    TextSource,
    TrainingRecords,
    predict_linear,
    sources,
)
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.metrics import Columns

Folds = Iterable[tuple[np.ndarray, np.ndarray]]

_FOLDS = 5
_MOST_RECORDS = 5_000


def held_apart_sentence(table: Table, column: str, seed: int = 0) -> str | None:
    """What a cheap model of the first target reaches out of fold, with records of one value of `column` on both sides
    and on one; None where no cheap model fits, or there are too few records.
    """
    target = next(iter(table.schema.targets), None)
    model = target and getattr(TARGET_COLUMNS[target.kind].baselines, "model", None)
    rows = np.random.default_rng(seed).permutation(len(table))[:_MOST_RECORDS]
    if model is None or not sources(table.schema):
        return None
    records = TrainingRecords.of(table.take(np.sort(rows)), target, seed)
    groups = records.table.cells(column, "category").astype(str)
    if len(np.unique(groups)) < _FOLDS:
        return None
    source = sources(table.schema)[0]
    mixed = KFold(_FOLDS, shuffle=True, random_state=seed).split(groups)
    apart = GroupKFold(_FOLDS).split(groups, groups=groups)
    try:
        with warnings.catch_warnings(action="ignore"):
            scores = [_out_of_fold(records, model, source, len(target.labels), folds) for folds in (mixed, apart)]
    except ValueError:  # a fold has one class alone
        return None
    return (
        f"{source.name} with {model.method} reaches {model.score_name} {scores[0]:.2f} with the values of '{column}'"
        f" mixed, and {scores[1]:.2f} with them held apart."
    )


def _out_of_fold(
    records: TrainingRecords, model: type[BaselineModel], source: TextSource | CellSource, labels: int, folds: Folds
) -> float:
    """The score of all records, each predicted by a model that learned from the other folds."""
    count = len(records.table)
    predicted: Columns = {}
    for train, test in folds:
        features, scored = source.features(records.table.take(train), records.table.take(test), labels)
        truth = {key: values[train] for key, values in records.truth.items()}
        for key, values in predict_linear(model, features, truth, scored, labels, model.score_name).items():
            predicted.setdefault(key, np.zeros((count, *values.shape[1:]), values.dtype))[test] = values
    return model.score(records.truth, predicted)
