"""Orders of an epoch that are more than a permutation of the records."""

import numpy as np

from sensorium.data.records import Records
from sensorium.data.targets import TARGETS


def balanced(records: Records, seed: int, epoch: int) -> np.ndarray:
    """The rows of an epoch, int64 [N], drawn with replacement so that every class of the first class target is equally
    likely, and a record without that target as one of a class of average size. The same for the same (seed, epoch)."""
    rows = len(records)
    target = next((spec for spec in records.table.schema.targets if TARGETS[spec.kind].single_label), None)
    weights = np.ones(rows)
    if target is not None:
        columns = records.targets[target.name](np.arange(rows))
        labelled, label = columns["mask"].numpy(), columns["label"].numpy()
        counts = np.bincount(label[labelled], minlength=len(target.labels))
        present = int((counts > 0).sum())
        weights[labelled] = labelled.sum() / (present * counts[label[labelled]])
    return np.random.default_rng((seed, epoch, 1)).choice(rows, rows, p=weights / weights.sum())


def grouped(records: Records, seed: int, epoch: int) -> np.ndarray:
    """The rows of an epoch, int64 [N], the groups in a random order and the records of each one after another, so that
    a step has to encode a picture that several of its records share only once. The same for the same (seed, epoch)."""
    _, group = np.unique(np.asarray(records.table.groups, dtype=str), return_inverse=True)
    chance = np.random.default_rng((seed, epoch, 2))
    return np.lexsort((chance.random(len(group)), chance.permutation(group.max() + 1)[group]))


ORDERS = {"balanced": balanced, "grouped": grouped}
