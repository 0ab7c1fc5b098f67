"""What is absent: how much, what together, and whether absence tells the target or the side of a split."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sensorium.data.columns.parse import answers, is_missing, labels, numbers, to_label
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.inspection.finding import Finding, at, plural

LEVEL = 0.001  # of Holm's correction; a table without fault is accused once in a thousand
_EFFECT = 0.15  # least Cramér's V, or rank correlation, worth a sentence
_MOST_PATTERNS = 8


class Pattern(NamedTuple):
    """Inputs that are absent together, and in how many records."""

    lacking: list[str]
    records: int


def missing(table: Table) -> dict[str, np.ndarray]:
    """By input, bool [N]: which records lack it."""
    return {spec.name: ~table.present(spec) for spec in table.schema.inputs}


def patterns(table: Table) -> list[Pattern]:
    """The most frequent patterns of which inputs are absent together, the most frequent first."""
    lacking = missing(table)
    names = list(lacking)
    if not names:
        return []
    seen, counts = np.unique(np.stack(list(lacking.values()), axis=1), axis=0, return_counts=True)  # [patterns, inputs]
    order = np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]
    return [
        Pattern([name for name, gone in zip(names, seen[one], strict=True) if gone], int(counts[one])) for one in order
    ]


def absence_findings(table: Table, held_out: np.ndarray | None) -> list[Finding]:
    """Columns whose absence goes with a target or with the split, and records without any input."""
    found = []
    lacking = {name: gone for name, gone in _by_column(table).items() if 2 <= gone.sum() <= len(table) - 2}
    tests: list[tuple[float, float, Callable[[], Finding]]] = []
    for name, gone in lacking.items():
        tests += [_against(table, name, gone, target) for target in table.schema.targets]
        if held_out is not None:
            tests.append(_against_side(name, gone, held_out))
    for (_, effect, says), significant in zip(tests, holm([one[0] for one in tests]), strict=True):
        if significant and effect >= _EFFECT:
            found.append(says())
    inputs = missing(table)
    nothing = np.logical_and.reduce(list(inputs.values())) if inputs else np.zeros(len(table), dtype=bool)
    if nothing.any():
        rows = at(table.rows, nothing)
        said = (
            f"{plural(len(rows), 'record')} without any input can teach nothing; fill in an input, or delete such rows."
        )
        found.append(Finding("record-without-input", "warning", "", rows, said))
    return found + _all_absent(table)


def holm(chances: list[float]) -> list[bool]:
    """Which of the p-values are significant at LEVEL by Holm's step-down method (1979)."""
    order = np.argsort(chances)
    result = [False] * len(chances)
    for rank, place in enumerate(order):
        if not chances[place] <= LEVEL / (len(chances) - rank):
            break
        result[place] = True
    return result


def _by_column(table: Table) -> dict[str, np.ndarray]:
    names = [name for spec in table.schema.inputs for name in spec.columns]
    return {name: is_missing(table.frame[name].to_numpy()) for name in names}


def _all_absent(table: Table) -> list[Finding]:
    found = []
    for column in table.schema.columns:
        if column.absent == 1 and column.reason != "stated" and column.kind == "ignored":
            said = f"Column '{column.name}' is absent in every row, and is ignored; fill it in, or delete it."
            found.append(Finding("empty-column", "warning", column.name, [], said))
    return found


def _against(
    table: Table, name: str, gone: np.ndarray, target: TargetSpec
) -> tuple[float, float, Callable[[], Finding]]:
    """(p-value, effect, the finding) of absence in a column against a target."""
    values = table.frame[target.name].to_numpy()
    known = ~is_missing(values)
    if target.kind == "number":
        value = numbers(values)
        one, two = value[known & gone], value[known & ~gone]
        if min(len(one), len(two)) < 2:
            return 1.0, 0.0, list
        test = stats.mannwhitneyu(one, two)
        effect = abs(2 * test.statistic / (len(one) * len(two)) - 1)  # the rank-biserial correlation

        def told() -> str:
            return f"it is {np.median(one):.3g} on median where absent and {np.median(two):.3g} where present"

        return float(test.pvalue), float(effect), lambda: _mnar(table, name, gone, target.name, told())
    codes, positions = _codes(target, values, known)
    share = pd.Series(gone[positions]).groupby(codes).mean()
    chance, effect = _chi_square(codes, gone[positions])

    def shares() -> str:
        most, least = share.idxmax(), share.idxmin()
        return f"{share[most]:.0%} of the records of '{most}' lack it, but {share[least]:.0%} of those of '{least}'"

    return chance, effect, lambda: _mnar(table, name, gone, target.name, shares())


def _codes(target: TargetSpec, values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positions = np.flatnonzero(known)
    if target.kind == "class":
        return np.array([to_label(value) for value in values[positions]], dtype=object), positions
    read = (lambda value: (answers(value) or [])[:1]) if target.kind == "answer" else labels
    named = ["|".join(sorted(read(value))) for value in values[positions]]
    return np.array(named, dtype=object), positions


def _mnar(table: Table, name: str, gone: np.ndarray, target: str, told: str) -> Finding:
    said = (
        f"Whether '{name}' is absent goes with the target '{target}': {told}; the model will learn from the hole"
        " itself, so find out why it is there, and fill it in or leave the column out if it will not be so in use."
    )
    return Finding("absence-tells-target", "warning", name, at(table.rows, gone), said)


def _against_side(name: str, gone: np.ndarray, held_out: np.ndarray) -> tuple[float, float, Callable[[], Finding]]:
    chance, effect = _chi_square(np.where(held_out, "test", "training"), gone)

    def says() -> Finding:
        said = (
            f"'{name}' is absent in {gone[~held_out].mean():.0%} of the training records and in"
            f" {gone[held_out].mean():.0%} of the test's, so the test asks for something else than was learned; split"
            " anew, or find out why."
        )
        return Finding("absence-differs-by-side", "warning", name, [], said)

    return chance, effect, says


def _chi_square(names: np.ndarray, gone: np.ndarray) -> tuple[float, float]:
    """(p-value, Cramér's V) of names [M] against bool [M]: exact (Fisher's) for two by two, else by chi-square."""
    counts = pd.crosstab(names, gone).to_numpy()
    if min(counts.shape) < 2:
        return 1.0, 0.0
    statistic, chance, _, expected = stats.chi2_contingency(counts, correction=False)
    if counts.shape == (2, 2):
        chance = stats.fisher_exact(counts).pvalue
    elif expected.min() < 1:  # the chi-square is no chi-square with so few; classes that are rare are joined
        rare = counts.sum(axis=1) * min(counts.sum(axis=0)) / counts.sum() < 1
        joined = np.vstack([counts[~rare], counts[rare].sum(axis=0, keepdims=True)])
        joined = joined[joined.sum(axis=1) > 0]
        if min(joined.shape) < 2:
            return 1.0, 0.0
        statistic, chance, _, _ = stats.chi2_contingency(joined, correction=False)
    return float(chance), float(np.sqrt(statistic / counts.sum()))
