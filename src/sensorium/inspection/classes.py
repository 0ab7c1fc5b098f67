"""Classes: how many records each has, which side of a split it stands on, and how its name is spelled."""

import re
import unicodedata
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import answers, is_missing, labels, to_label
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.inspection.finding import Finding, at, listed, plural, quoted

FEW = 2  # records of a class that cannot stand in training, validation and test
_RARE = 0.05
_ONE_SIDED = 0.95


def class_findings(table: Table, held_out: np.ndarray | None) -> list[Finding]:
    """Rare and one-sided classes of every target; `held_out`, bool [N], says which rows are the test's."""
    found = []
    for target in table.schema.targets:
        if target.kind in ("class", "labels"):
            codes, rows = members(table, target)
            found += _few(table, target, codes, rows)
            if held_out is not None:
                found += _one_side(table, target, codes, rows, held_out)
    return found


def members(table: Table, target: TargetSpec) -> tuple[np.ndarray, np.ndarray]:
    """(codes, positions), int64 [M]: each label, by its place in `target.labels`, of each record that has it."""
    values = table.frame[target.name].to_numpy()
    present = np.flatnonzero(~is_missing(values))
    if target.kind == "class":
        names, positions = [to_label(value) for value in values[present]], present
    else:
        read = answers if target.kind == "answer" else labels
        split = [list(dict.fromkeys(read(value) or ())) for value in values[present]]
        names = [name for one in split for name in one]
        positions = np.repeat(present, [len(one) for one in split])
    return pd.Index(target.labels, dtype=object).get_indexer(names), positions


def _few(table: Table, target: TargetSpec, codes: np.ndarray, positions: np.ndarray) -> list[Finding]:
    counts = np.bincount(codes, minlength=len(target.labels))
    found = []
    forms = Counter(_form(label) for label in target.labels)
    for code in np.flatnonzero(counts <= FEW):
        if forms[_form(target.labels[code])] > 1:
            continue  # another spelling of a class, which is found as such
        rows = at(table.rows, positions[codes == code])
        said = (
            f"Class '{target.labels[code]}' of '{target.name}' has only {plural(len(rows), 'record')} ({listed(rows)}),"
            " too few to learn from and to score; bring more, join it to another class, or leave it out."
        )
        found.append(Finding("rare-class", "warning", target.name, rows, said))
    if len(counts) > 1 and counts.max() > 0.95 * counts.sum() and target.kind == "class":
        name = target.labels[int(counts.argmax())]
        said = (
            f"Class '{name}' of '{target.name}' has {counts.max() / counts.sum():.0%} of the records, so accuracy says"
            " little; look at balanced accuracy, or set class_weights=balanced."
        )
        found.append(Finding("imbalance", "note", target.name, [], said))
    return found


def _one_side(
    table: Table, target: TargetSpec, codes: np.ndarray, positions: np.ndarray, held_out: np.ndarray
) -> list[Finding]:
    size = len(target.labels)
    train, test = (np.bincount(codes[held_out[positions] == side], minlength=size) for side in (False, True))
    found = []
    for code in np.flatnonzero((train == 0) & (test > 0)):
        rows = at(table.rows, positions[codes == code])
        said = (
            f"Class '{target.labels[code]}' of '{target.name}' stands only in the test records ({listed(rows)}), so it"
            " cannot be learned; move records of it to the training side, or leave it out."
        )
        found.append(Finding("class-on-one-side", "warning", target.name, rows, said))
    # A class of few records may miss the smaller side by chance alone.
    expected = (train + test) * held_out.mean()
    for code in np.flatnonzero((test == 0) & (train > FEW) & (expected >= 3)):
        said = (
            f"Class '{target.labels[code]}' of '{target.name}' has {train[code]:,} training records and none in the"
            " test, so its score will not be known; move some of them to the test."
        )
        found.append(Finding("class-on-one-side", "warning", target.name, [], said))
    return found


def spelling(table: Table, name: str, several: bool = False) -> list[Finding]:
    """Names of classes, categories or groups in column `name` that differ only in how they are spelled.

    `several`: a cell holds several labels between bars.
    """
    values = table.frame[name].to_numpy()
    present = ~is_missing(values)
    cells = [value if isinstance(value, str) else None for value in values[present]]
    if several:
        counted = pd.Series([part.strip() for cell in cells if cell for part in cell.split("|")]).value_counts()
    else:
        counted = pd.Series(cells, dtype=object).dropna().value_counts()
    by_form: dict[str, list[str]] = {}
    for one in counted.index:
        by_form.setdefault(_form(one), []).append(one)
    variants = [spelled for spelled in by_form.values() if len(spelled) > 1]
    found = [_spelled(table, name, values, variants)] if variants else []
    common = {form: spelled[0] for form, spelled in by_form.items()}
    counts = {form: int(counted[spelled].sum()) for form, spelled in by_form.items()}
    for usual, rare in _slips(counts):
        found.append(_slip(table, name, values, common[usual], common[rare]))
    padded = np.array([isinstance(one, str) and one != one.strip() for one in values])
    if padded.any() and not found and not several:
        rows = at(table.rows, padded)
        said = f"Column '{name}' has blanks around its value in {listed(rows)}; take them away."
        found.append(Finding("blanks", "note", name, rows, said))
    return found


def _form(text: str) -> str:
    """What is left of a name without capitals, blanks, hyphens and the like."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\s_\-.]+", " ", plain).strip()


def _spelled(table: Table, name: str, values: np.ndarray, variants: list[list[str]]) -> Finding:
    rows = _rows_of(table, values, [one for spelled in variants for one in spelled[1:]])
    told = "; ".join(quoted(spelled) for spelled in variants[:3]) + ("; ..." if len(variants) > 3 else "")
    said = (
        f"Column '{name}' spells {'one value' if len(variants) == 1 else f'{len(variants)} values'} in several ways"
        f" ({told}; {listed(rows)} unlike the most frequent), which count as different; spell each the same everywhere."
    )
    return Finding("spelling", "warning", name, rows, said)


def _slip(table: Table, name: str, values: np.ndarray, usual: str, rare: str) -> Finding:
    rows = _rows_of(table, values, [rare])
    said = (
        f"Column '{name}' has {rare!r} in {listed(rows)}, one letter from the frequent {usual!r}; if it is a slip,"
        " mend it."
    )
    return Finding("spelling", "warning", name, rows, said)


def _rows_of(table: Table, values: np.ndarray, forms: list[str]) -> list[int]:
    held = set(forms)
    which = np.fromiter(
        (
            isinstance(one, str) and (one in held or any(part.strip() in held for part in one.split("|")))
            for one in values
        ),
        dtype=bool,
        count=len(values),
    )
    return at(table.rows, which)


def _slips(counts: dict[str, int]) -> list[tuple[str, str]]:
    """(usual, rare): names without digits, of five letters or more, one letter apart, one of them far rarer."""
    names = [one for one in counts if len(one) >= 5 and not re.search(r"\d", one)]
    if len(names) > 300:
        return []
    pairs = []
    for one, two in combinations(names, 2):
        rare, usual = sorted((one, two), key=counts.__getitem__)
        if counts[rare] <= max(2, _RARE * counts[usual]) and counts[usual] >= 5 and _one_letter_apart(one, two):
            pairs.append((usual, rare))
    return pairs


def _one_letter_apart(one: str, two: str) -> bool:
    """One letter changed, added or left out, or two neighbours swapped."""
    if abs(len(one) - len(two)) > 1:
        return False
    start = next((place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    a, b = one[start:], two[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and len(b) > 1 and a[2:] == b[2:])


def group_findings(table: Table, held_out: np.ndarray) -> list[Finding]:
    """Groups that stand on both sides of a split."""
    groups = table.groups
    if groups is None:
        return []
    both = set(groups[held_out]) & set(groups[~held_out])
    if not both:
        return []
    rows = at(table.rows, np.fromiter((one in both for one in groups), dtype=bool, count=len(groups)) & held_out)
    said = (
        f"{plural(len(both), 'group')} of '{table.schema.group}' ({quoted(sorted(both))}) "
        f"{'stands' if len(both) == 1 else 'stand'} on both sides of the split ({listed(rows)} of the test), so the"
        " score will flatter; move each group whole to one side."
    )
    return [Finding("group-on-both-sides", "warning", table.schema.group, rows, said)]
