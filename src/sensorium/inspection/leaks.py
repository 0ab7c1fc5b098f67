"""Columns that alone give the target away, by their values or their words, and files that do by how they are made."""

import re

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from sensorium.data.columns.parse import holds_numbers, is_missing, modalities_of, numbers, to_label
from sensorium.data.finding import Finding
from sensorium.data.table import Table
from sensorium.inspection.contents import Contents
from sensorium.inspection.targets import TargetCells

_ALMOST = 0.94  # of what a guess without the column gets wrong, the share that the column gets right
_ENOUGH = 20  # records
_FEWEST_ERRORS = 8  # of a guess without the column
_MOST = 5000  # records looked at: enough to see what is nearly always so
_NAMED = 0.9  # share of the texts that name the class


def leak_findings(table: Table, target: TargetCells, contents: dict[str, Contents]) -> list[Finding]:
    """The columns, texts and measures of files that alone give a target of one class or number."""
    if target.numbers is None and not target.single_label:
        return []
    truth = target.numbers if target.numbers is not None else np.full(len(table), np.nan)
    if target.numbers is None:
        truth[target.positions] = target.codes
    records = np.flatnonzero(~np.isnan(truth))
    records = np.sort(np.random.default_rng(0).permutation(records)[:_MOST])
    findings, truth = [], truth[records]
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()[records]
        leak = ""
        modality = modalities_of(column.kind).get(None)
        if modality == "table":
            is_category = not holds_numbers(column.kind)
            codes = _category_codes(values) if is_category else numbers(values)
            leak = _leak(codes, truth, target, is_category)
        elif modality == "text" and target.numbers is None:
            leak = _naming(values, truth.astype(int), target.labels)
        if leak:
            sentence = (
                f"Column '{column.name}' alone gives the target '{target.name}' ({leak}); if it is written down after"
                f" the target is known, leave it out with --column '{column.name}=ignored'."
            )
            findings.append(Finding("leaking-column", "warning", column.name, [], sentence))
    for name, files in contents.items():
        for measure, values in files.measures.items():
            present = ~np.isnan(values[records])
            if present.mean() > 0.3 and (leak := _leak(values[records][present], truth[present], target)):
                sentence = (
                    f"The {measure} of the files of '{name}' alone gives the target '{target.name}' ({leak}), so a"
                    " model may learn how files were made and not what they show; bring all into one form."
                )
                findings.append(Finding("format-tells-target", "warning", name, [], sentence))
    return findings


def _category_codes(values: np.ndarray) -> np.ndarray:
    """float64 [N]: a code for each category; NaN where absent."""
    absent = is_missing(values)
    names = [None if lacking else to_label(value) for value, lacking in zip(values, absent, strict=True)]
    return np.where(absent, np.nan, pd.factorize(np.array(names, dtype=object))[0])


def _leak(column: np.ndarray, truth: np.ndarray, target: TargetCells, is_category: bool = False) -> str:
    """How well a column [N], NaN where absent, alone gives the truth [N] of unseen records, in words, if it nearly
    always does; else ''. By a small decision tree, cross-validated."""
    if len(truth) < _ENOUGH or len(np.unique(column)) < 2:
        return ""
    column = np.where(np.isnan(column), np.nanmin(column) - 1, column)
    if target.numbers is not None:
        explained = _explained(column, truth)
        return f"{explained:.0%} of the variance" if explained >= _ALMOST else ""
    leaves = 2 * len(np.unique(column if is_category else truth))
    fewest = np.unique(truth, return_counts=True)[1].min()
    folds = (StratifiedKFold if fewest >= 5 else KFold)(5, shuffle=True, random_state=0)
    tree = DecisionTreeClassifier(max_leaf_nodes=max(4, leaves), min_samples_leaf=2, random_state=0)
    right = (cross_val_predict(tree, column[:, None], truth, cv=folds) == truth).mean()
    largest = np.bincount(truth.astype(int)).max() / len(truth)
    enough = len(truth) * (1 - largest) >= _FEWEST_ERRORS
    return f"right in {right:.0%} of unseen records" if enough and right - largest >= _ALMOST * (1 - largest) else ""


def _explained(column: np.ndarray, truth: np.ndarray) -> float:
    """The share of the variance of `truth` [N] that a `column` [N] explains, by a straight line or by a small tree."""
    tree = DecisionTreeRegressor(max_leaf_nodes=40, min_samples_leaf=3, random_state=0)
    steps = cross_val_predict(tree, column[:, None], truth, cv=KFold(5, shuffle=True, random_state=0))
    line = np.polyval(np.polyfit(column, truth, 1), column)
    errors = min(((predicted - truth) ** 2).sum() for predicted in (line, steps))
    return float(1 - errors / max(((truth - truth.mean()) ** 2).sum(), 1e-12))


def _naming(texts: np.ndarray, codes: np.ndarray, labels: list[str]) -> str:
    """How often texts [N] name their record's class, int64 [N], and no other, in words, if nearly always; else ''."""
    names = [_words(label) for label in labels]
    present = np.flatnonzero(~is_missing(texts))
    if len(present) < _ENOUGH or any(len(name.strip()) < 2 for name in names):
        return ""
    named = [_names_only(_words(str(texts[index])), names[codes[index]], names) for index in present]
    return f"it names the class in {np.mean(named):.0%} of the records" if np.mean(named) >= _NAMED else ""


def _words(text: str) -> str:
    words = " ".join(re.findall(r"\w+", text.casefold()))
    return f" {words} "


def _names_only(text: str, name: str, names: list[str]) -> bool:
    """Whether a text holds the name of a class, and no other that is not part of that name."""
    return name in text and not any(label in text for label in names if label not in name)
