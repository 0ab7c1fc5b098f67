"""What is absent: how much, what together, and whether absence goes with the target."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sensorium.data.columns.parse import is_missing
from sensorium.data.finding import Finding, rows_where
from sensorium.data.table import Table
from sensorium.errors import counted
from sensorium.inspection.targets import TargetCells
from sensorium.metrics import holm

_LEVEL = 0.001  # of p-values after Holm's correction: a table without fault is accused once in a thousand
_EFFECT = 0.15  # least Cramér's V, or rank correlation, worth a sentence
_MOST_PATTERNS = 8


class Pattern(NamedTuple):
    """Inputs that are absent together, and in how many records."""

    lacking: list[str]
    records: int


class _Test(NamedTuple):
    """Whether the absence of a column goes with a target: p-value, effect, and what differs, in words."""

    column: str
    target: str
    p_value: float
    effect: float
    difference: str


def patterns(table: Table) -> list[Pattern]:
    """The most frequent patterns of which inputs are absent together, the most frequent first."""
    if not table.schema.inputs:
        return []
    names = [spec.name for spec in table.schema.inputs]
    absent = np.stack([~table.present(spec) for spec in table.schema.inputs], axis=1)  # [N, inputs]
    distinct, counts = np.unique(absent, axis=0, return_counts=True)  # [patterns, inputs]
    order = np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]
    return [Pattern(np.array(names, object)[distinct[index]].tolist(), int(counts[index])) for index in order]


def absence_findings(table: Table, targets: list[TargetCells]) -> list[Finding]:
    """Columns whose absence goes with a target; columns that are empty; records without any input."""
    absent = {name: is_missing(table.frame[name].to_numpy()) for spec in table.schema.inputs for name in spec.columns}
    tests = []
    for name, where in absent.items():
        if 2 <= where.sum() <= len(table) - 2:
            tests += [_test_target(name, where, target) for target in targets]
    corrected = holm(np.array([test.p_value for test in tests]))
    findings = [
        _absence_finding(test, rows_where(table, absent[test.column]))
        for test, p_value in zip(tests, corrected, strict=True)
        if p_value <= _LEVEL and test.effect >= _EFFECT
    ]
    if absent and (rows := rows_where(table, np.logical_and.reduce(list(absent.values())))):
        sentence = (
            f"{counted(len(rows), 'record')} without any input can teach nothing; fill in an input, or delete them."
        )
        findings.append(Finding("record-without-input", "warning", "", rows, sentence))
    for column in table.schema.columns:
        if column.absent == 1 and column.reason != "stated" and column.kind == "ignored":
            sentence = f"Column '{column.name}' is absent in every row, and is ignored; fill it in, or delete it."
            findings.append(Finding("empty-column", "warning", column.name, [], sentence))
    return findings


def _absence_finding(test: _Test, rows: list[int]) -> Finding:
    sentence = (
        f"Whether '{test.column}' is absent goes with the target '{test.target}': {test.difference}; the model will"
        " learn from the hole itself, so find out why it is there, and fill it in or leave the column out if it will"
        " not be so in use."
    )
    return Finding("absence-tells-target", "warning", test.column, rows, sentence)


def _test_target(column: str, absent: np.ndarray, target: TargetCells) -> _Test:
    """absent: bool [N]. A rank test for a number, chi-square for labels."""
    if target.numbers is None:
        return _test_labels(column, absent, target.cells, target.name)
    present = ~np.isnan(target.numbers)
    lacking, having = target.numbers[present & absent], target.numbers[present & ~absent]
    if min(len(lacking), len(having)) < 2:
        return _Test(column, target.name, 1.0, 0.0, "")
    test = stats.mannwhitneyu(lacking, having)
    effect = abs(2 * test.statistic / (len(lacking) * len(having)) - 1)  # the rank-biserial correlation
    medians = f"it is {np.median(lacking):.3g} on median where absent and {np.median(having):.3g} where present"
    return _Test(column, target.name, float(test.pvalue), float(effect), medians)


def _test_labels(column: str, absent: np.ndarray, labels: np.ndarray, target: str) -> _Test:
    """absent: bool [N], labels: object [N]. Fisher's exact test for two by two, else chi-square; Cramér's V."""
    present = ~pd.isna(labels)
    counts = pd.crosstab(labels[present], absent[present])
    counts = counts[counts.sum(axis=1) * counts.sum(axis=0).min() >= counts.to_numpy().sum()]  # 1 expected in a cell
    counts = counts.loc[:, counts.sum() > 0]
    if min(counts.shape) < 2:
        return _Test(column, target, 1.0, 0.0, "")
    statistic, p_value, _, _ = stats.chi2_contingency(counts, correction=False)
    if counts.shape == (2, 2):
        p_value = stats.fisher_exact(counts).pvalue
    shares = counts[True] / counts.sum(axis=1)
    most, least = shares.idxmax(), shares.idxmin()
    difference = f"{shares[most]:.0%} of the records of '{most}' lack it, but {shares[least]:.0%} of those of '{least}'"
    return _Test(column, target, float(p_value), float(np.sqrt(statistic / counts.to_numpy().sum())), difference)
