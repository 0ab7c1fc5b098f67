"""Classes: how many records each has, which side of a split it stands on, and how its name is spelled."""

import numpy as np

from sensorium.data.finding import Finding, list_rows, list_values, rows_where
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.inspection.targets import TargetCells

_FEW = 2  # records of a class that cannot stand in training, validation and test


def class_findings(table: Table, target: TargetCells, held_out: np.ndarray | None) -> list[Finding]:
    """Rare and one-sided classes; `held_out`, bool [N], says which records are the test's."""
    findings, counts = [], target.counts
    for code in np.flatnonzero(counts <= _FEW):
        rows = rows_where(table, target.positions[target.codes == code])
        sentence = (
            f"Class '{target.labels[code]}' of '{target.name}' has only {counted(len(rows), 'record')}"
            f" ({list_rows(rows)}), too few to learn from and to score; bring more, join it to another class, or leave"
            " it out."
        )
        findings.append(Finding("rare-class", "warning", target.name, rows, sentence))
    return findings + ([] if held_out is None else _one_sided_classes(table, target, held_out))


def _one_sided_classes(table: Table, target: TargetCells, held_out: np.ndarray) -> list[Finding]:
    findings = []
    test = np.bincount(target.codes[held_out[target.positions]], minlength=len(target.labels))
    train = target.counts - test
    # A class of few records may miss the smaller side by chance alone.
    missed = (test == 0) & (train > _FEW) & (train * held_out.mean() >= 3)
    for code in np.flatnonzero(missed | (train == 0) & (test > 0)):
        rows = rows_where(table, target.positions[target.codes == code])
        sides, effect = ("training", "test"), "its score will not be known"
        if train[code] == 0:
            sides, effect = ("test", "training"), "it cannot be learned"
        sentence = (
            f"Class '{target.labels[code]}' of '{target.name}' has {counted(len(rows), f'{sides[0]} record')} and no"
            f" {sides[1]} record, so {effect}; move some to the other side, or leave the class out."
        )
        findings.append(Finding("class-on-one-side", "warning", target.name, rows, sentence))
    return findings


def group_findings(table: Table, held_out: np.ndarray) -> list[Finding]:
    """Groups that stand on both sides of a split."""
    groups = table.groups
    split = set() if groups is None else set(groups[held_out]) & set(groups[~held_out])
    if not split:
        return []
    rows = rows_where(table, np.isin(groups, list(split)) & held_out)
    sentence = (
        f"{counted(len(split), 'group')} of '{table.schema.group}' ({list_values(sorted(split))}) on both sides of the"
        f" split ({list_rows(rows)} of the test), so the score will flatter; move each group whole to one side."
    )
    return [Finding("group-on-both-sides", "warning", table.schema.group, rows, sentence)]
