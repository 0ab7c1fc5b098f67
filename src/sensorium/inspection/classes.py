"""Classes: how many records each has, which side of a split it stands on, and how its name is spelled."""

import re
import unicodedata

import numpy as np
import pandas as pd

from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.inspection.finding import Finding, cell_finding, list_rows, list_values, rows_where
from sensorium.inspection.targets import TargetCells

_FEW = 2  # records of a class that cannot stand in training, validation and test


def class_findings(table: Table, target: TargetCells, held_out: np.ndarray | None) -> list[Finding]:
    """Rare and one-sided classes; `held_out`, bool [N], says which records are the test's."""
    findings, counts = [], target.counts
    forms = pd.Series([_form(label) for label in target.labels], dtype=object)
    respelled = forms.duplicated(keep=False).to_numpy()  # another spelling is a finding of its own
    for code in np.flatnonzero((counts <= _FEW) & ~respelled):
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


def spelling_findings(table: Table, name: str) -> list[Finding]:
    """Values of the column `name`, or labels between its bars, that differ only in how they are spelled."""
    values = table.frame[name].to_numpy()
    split = [cell.split("|") if isinstance(cell, str) and cell else [] for cell in values]
    several = any(len(labels) > 1 for labels in split)
    spelled = pd.Series([label.strip() if several else label for labels in split for label in labels], dtype=object)
    positions = np.repeat(np.arange(len(values)), [len(labels) for labels in split])
    counts = spelled.value_counts()
    spellings = [list(labels) for labels in counts.groupby([_form(label) for label in counts.index]).groups.values()]
    variants = [labels for labels in spellings if len(labels) > 1]  # the most frequent first
    if not variants:
        return []
    rare = spelled.isin([label for labels in variants for label in labels[1:]])
    examples = "; ".join(map(list_values, variants[:3]))
    fault = f"several spellings of one value ({examples}), which count as different,"
    where = np.unique(positions[rare])
    return [cell_finding(table, "spelling", name, where, fault, "spell each the same everywhere")]


def _form(text: str) -> str:
    """A name without its capitals, blanks, hyphens and the like."""
    return re.sub(r"[\s_\-.]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
