"""How even the decisions are: the metric of each subgroup, and the largest gap."""

import numpy as np

from sensorium.data.columns.parse import is_missing
from sensorium.data.table import Table
from sensorium.evaluation.saved_scores import SavedTarget
from sensorium.evaluation.subgroups import Subgroups, subgroups
from sensorium.metrics import METRIC_KINDS
from sensorium.reports.evidence import Evidence
from sensorium.reports.plots import Row, intervals
from sensorium.reports.render import Section, render
from sensorium.reports.values import metric_name

COLUMN_KINDS = ("category", "group", "ignored")
MOST_VALUES = 12  # of an ignored column that is looked at
PLAIN = str | int | float | bool | np.number | None  # values that can be a subgroup's name


def subgroups_section(evidence: Evidence) -> Section | None:
    """The section; None when no column makes two subgroups that are large enough."""
    comparisons = []
    for target in evidence.scores.targets:
        for column, member in subgroup_columns(evidence.records).items():
            comparison = _compare(target, column, member, evidence)
            if comparison is not None:
                rows = [Row(f"{group.name} ({group.records:,})", group.value) for group in comparison.groups]
                title = f"{target.name} by {column}"
                comparisons.append((comparison, intervals(title, rows, metric_name(comparison.metric))))
    if not comparisons:
        return None
    return Section("subgroups", "Subgroups", render("subgroups", comparisons=comparisons))


def subgroup_columns(table: Table) -> dict[str, np.ndarray]:
    """By name, object [N]: the columns whose values are subgroups; None where absent."""
    columns = {}
    for column in table.schema.columns:
        if column.name not in table.frame or column.kind not in COLUMN_KINDS:
            continue
        cells = table.frame[column.name].to_numpy(dtype=object)
        if not all(isinstance(cell, PLAIN) for cell in cells):
            continue
        names = [None if absent else str(cell) for cell, absent in zip(cells, is_missing(cells), strict=True)]
        if column.kind != "ignored" or len({*names} - {None}) <= MOST_VALUES:
            columns[column.name] = np.array(names)
    return columns


def _compare(target: SavedTarget, column: str, member: np.ndarray, evidence: Evidence) -> Subgroups | None:
    scores, labelled = evidence.scores, evidence.scores.known(target)
    metric = METRIC_KINDS[target.kind].subgroup_metric(evidence.figures["inputs"][target.name]["metric"])
    clusters = None if scores.groups is None else scores.groups[labelled]
    truth, prediction = scores.truth(target), scores.prediction(target)
    return subgroups(target.kind, truth, prediction, metric, column, member[labelled], clusters)
