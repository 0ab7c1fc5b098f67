"""Columns that alone give the target away, in their values, in the names of files, or in how files are made."""

import re
from pathlib import PurePath

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sensorium.data.columns.parse import is_missing, numbers, to_label
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.inspection.contents import Contents
from sensorium.inspection.finding import Finding

_ALMOST = 0.94  # of what a guess without the column gets wrong, the share that the column gets right
_ENOUGH = 20  # records
_MOST = 5000  # records looked at: enough to see what is nearly always so
_SHUFFLES = 10
_SHARE = 0.9


def leak_findings(table: Table, contents: dict[str, Contents]) -> list[Finding]:
    """For every target, the columns, file names and formats that alone give it."""
    found = []
    for target in table.schema.targets:
        truth, known = _truth(table, target)
        if len(known) < _ENOUGH or truth is None:
            continue
        found += _columns(table, target, truth, known)
        found += _paths(table, target, truth, known)
        found += _formats(table, target, truth, known, contents)
        found += _texts(table, target, truth, known)
    return found


def _truth(table: Table, target: TargetSpec) -> tuple[np.ndarray | None, np.ndarray]:
    """(codes or values of the target, their positions), of at most `_MOST` records evenly; None for several labels."""
    values = table.frame[target.name].to_numpy()
    known = np.flatnonzero(~is_missing(values))
    if len(known) > _MOST:
        known = np.sort(np.random.default_rng(0).permutation(known)[:_MOST])
    if target.kind == "number":
        return numbers(values[known]), known
    if target.kind == "class":
        return pd.Index(target.labels, dtype=object).get_indexer([to_label(one) for one in values[known]]), known
    return None, known


def _columns(table: Table, target: TargetSpec, truth: np.ndarray, known: np.ndarray) -> list[Finding]:
    found = []
    for column in table.schema.columns:
        if column.kind not in ("number", "category"):
            continue
        values = table.frame[column.name].to_numpy()[known]
        score = tells(_coded(values, column.kind), truth, column.kind == "category", target.kind)
        if score is None:
            continue
        said = (
            f"Column '{column.name}' alone gives the target '{target.name}' ({_worth(score, target)}); if it is written"
            f" down after the target is known, leave it out with --column '{column.name}=ignored'."
        )
        found.append(Finding("leaking-column", "warning", column.name, [], said))
    return found


def _worth(score: float, target: TargetSpec) -> str:
    return f"{score:.0%} of the variance" if target.kind == "number" else f"right in {score:.0%} of unseen records"


def _coded(values: np.ndarray, kind: str) -> np.ndarray:
    """float [n]: numbers, or codes of categories; -1 past the end of them where absent."""
    if kind == "number":
        parsed = numbers(values)
        return np.where(np.isnan(parsed), (np.nanmin(parsed) if (~np.isnan(parsed)).any() else 0) - 1, parsed)
    gone = is_missing(values)
    codes, _ = pd.factorize(
        np.array([None if lack else to_label(one) for one, lack in zip(values, gone, strict=True)], object)
    )
    return codes.astype(float)


def tells(column: np.ndarray, truth: np.ndarray, categories: bool, kind: str) -> float | None:
    """How well a column [n] alone gives the `truth` [n] of unseen records, if nearly always; else None.

    A share of right answers for a class, of explained variance for a number, cross-validated: by a small decision tree,
    or the most frequent target of a category. It has to beat every one of ten shuffles of the truth.
    """
    if len(np.unique(column)) < 2:
        return None
    predict = _by_category if categories else _by_tree
    score = _score(predict(column, truth, kind), truth, kind)
    base = 0.0 if kind == "number" else float(np.bincount(truth.astype(int)).max() / len(truth))
    rest = len(truth) * (1 - base)
    if (score - base) / max(1 - base, 1e-9) < _ALMOST or (kind != "number" and rest < 8):
        return None
    chance = np.random.default_rng(0)
    for _ in range(_SHUFFLES):
        shuffled = chance.permutation(truth)
        if _score(predict(column, shuffled, kind), shuffled, kind) >= score:
            return None
    return score


def _score(predicted: np.ndarray, truth: np.ndarray, kind: str) -> float:
    if kind == "number":
        return float(1 - ((predicted - truth) ** 2).sum() / max(((truth - truth.mean()) ** 2).sum(), 1e-12))
    return float((predicted == truth).mean())


def _folds(truth: np.ndarray, kind: str) -> KFold | StratifiedKFold:
    least = np.bincount(truth.astype(int)).min(initial=0) if kind != "number" else 0
    return StratifiedKFold(5, shuffle=True, random_state=0) if least >= 5 else KFold(5, shuffle=True, random_state=0)


def _by_tree(column: np.ndarray, truth: np.ndarray, kind: str) -> np.ndarray:
    if kind == "number":
        # A straight line explains what a tree of few leaves cannot; the better of the two counts.
        line = np.polyval(np.polyfit(column, truth, 1), column) if column.std() else np.full(len(truth), truth.mean())
        tree = DecisionTreeRegressor(max_leaf_nodes=40, min_samples_leaf=3, random_state=0)
        steps = cross_val_predict(tree, column[:, None], truth, cv=_folds(truth, kind))
        return min((line, steps), key=lambda one: float(((one - truth) ** 2).sum()))
    classes = len(np.unique(truth))
    tree = DecisionTreeClassifier(max_leaf_nodes=max(4, 2 * classes), min_samples_leaf=2, random_state=0)
    return cross_val_predict(tree, column[:, None], truth, cv=_folds(truth, kind))


def _by_category(column: np.ndarray, truth: np.ndarray, kind: str) -> np.ndarray:
    predicted = np.empty(len(truth), dtype=float)
    for train, test in _folds(truth, kind).split(column, truth):
        by_value = pd.Series(truth[train]).groupby(column[train])
        usual = by_value.mean() if kind == "number" else by_value.agg(lambda one: np.bincount(one.astype(int)).argmax())
        rest = truth[train].mean() if kind == "number" else np.bincount(truth[train].astype(int)).argmax()
        predicted[test] = pd.Series(column[test]).map(usual).fillna(rest).to_numpy(float)
    return predicted


def _paths(table: Table, target: TargetSpec, truth: np.ndarray, known: np.ndarray) -> list[Finding]:
    """Folders and parts of file names that give the class; the model does not read them, but they tell of a sorting."""
    found = []
    if target.kind != "class":
        return []
    for spec in table.schema.inputs:
        if spec.modality not in ("image", "audio", "video", "series", "points"):
            continue
        values = table.frame[spec.name].to_numpy()[known]
        named = np.array([isinstance(value, str) and len(value) < 1000 for value in values])
        if named.sum() < _ENOUGH:
            continue
        paths, first = np.unique(values[named].astype(str), return_index=True)  # one path may serve many records
        part = _telling_part(paths.tolist(), truth[named][first]) if len(paths) >= _ENOUGH else None
        if part:
            said = (
                f"The {part} of '{spec.name}' gives the target '{target.name}'; the model does not read paths, but see"
                " that files of different classes were not also made differently."
            )
            found.append(Finding("path-tells-target", "note", spec.name, [], said))
    return found


def _telling_part(paths: list[str], truth: np.ndarray) -> str | None:
    """Which part of the paths gives the class: the folder, the first or last word of the file's name; None if none."""
    words = [
        [word for word in re.split(r"[^A-Za-z0-9]+|(?<=[A-Za-z])(?=\d)", PurePath(path).stem.casefold()) if word]
        for path in paths
    ]
    parts = {
        "folder": [PurePath(path).parent.as_posix() for path in paths],
        "file name": [one[0] if one else "" for one in words],
        "file name's end": [one[-1] if one else "" for one in words],
    }
    for name, part in parts.items():
        codes = pd.factorize(np.array(part, dtype=object))[0].astype(float)
        few = 1 < len(np.unique(codes)) <= max(50, len(codes) // 4)
        if few and tells(codes, truth, categories=True, kind="class") is not None:
            return name
    return None


def _formats(
    table: Table, target: TargetSpec, truth: np.ndarray, known: np.ndarray, contents: dict[str, Contents]
) -> list[Finding]:
    """Sizes, rates, lengths and formats of files that give the target."""
    found = []
    for name, seen in contents.items():
        for measure, values in seen.measures.items():
            own = values[known]
            there = ~np.isnan(own)
            if there.sum() < max(_ENOUGH, 0.3 * len(known)) or len(np.unique(own[there])) < 2:
                continue
            score = tells(own[there], truth[there], measure == "format", target.kind)
            if score is None:
                continue
            said = (
                f"The {measure} of the files of '{name}' alone gives the target '{target.name}'"
                f" ({_worth(score, target)}), so a model may learn how files were made and not what they show; bring"
                " all into one form."
            )
            found.append(Finding("format-tells-target", "warning", name, [], said))
    return found


def _texts(table: Table, target: TargetSpec, truth: np.ndarray, known: np.ndarray) -> list[Finding]:
    """Text columns that are the target, or hold its name."""
    found = []
    if target.kind != "class":
        return []
    forms = [_words(label) for label in target.labels]
    if any(not one or len(one) < 2 for one in (form.strip() for form in forms)):
        return []
    for column in table.schema.columns:
        if column.kind != "text":
            continue
        values = table.frame[column.name].to_numpy()[known]
        there = ~is_missing(values)
        if there.sum() < _ENOUGH:
            continue
        plain, own = [_words(str(one)) for one in values[there]], truth[there]
        equal = np.mean([text == forms[code] for text, code in zip(plain, own, strict=True)])
        held = np.mean([_names_only(text, code, forms) for text, code in zip(plain, own, strict=True)])
        if max(equal, held) >= _SHARE:
            how = "is the target" if equal >= _SHARE else f"names the target in {held:.0%} of the records:"
            said = f"Column '{column.name}' {how} '{target.name}'; leave it out with --column '{column.name}=ignored'."
            found.append(Finding("leaking-column", "warning", column.name, [], said))
    return found


def _words(text: str) -> str:
    words = " ".join(re.findall(r"\w+", text.casefold()))
    return f" {words} "


def _names_only(text: str, code: int, forms: list[str]) -> bool:
    """Whether a text holds the name of class `code`, and of no other class that is not part of that name."""
    own = forms[code]
    return own in text and not any(form in text for form in forms if form not in own)
