"""How even the decisions are: the metric of each subgroup, and the largest gap."""

import numpy as np

from sensorium.data.columns.parse import is_missing
from sensorium.data.table import Table
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between
from sensorium.evaluation.saved_scores import SavedTarget
from sensorium.evaluation.subgroups import Subgroups, subgroups
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined, paragraphs
from sensorium.reports.page import Section, note, plots
from sensorium.reports.plots import Row, intervals
from sensorium.reports.values import words

MOST_VALUES = 12  # of an ignored column that is looked at


def subgroups_section(evidence: Evidence) -> Section | None:
    """The section; None when no column makes two subgroups that are large enough."""
    found = [
        (target, one)
        for target in evidence.scores.targets
        for name, member in columns(evidence.held).items()
        if (one := _of(target, name, member, evidence)) is not None
    ]
    if not found:
        return None
    explained = (
        "By the group and by each column of categories, also those that the model does not read. Among many, some"
        " gap is always there: p says how often random groupings of the same sizes have one as large."
    )
    drawn = [_shown(target, one) for target, one in found]
    return Section("subgroups", "Subgroups", joined(note(explained), plots(*drawn)))


def columns(table: Table) -> dict[str, np.ndarray]:
    """By name, object [N]: the columns whose values are subgroups; None where absent."""
    found = {}
    for column in table.schema.columns:
        if column.name not in table.frame or column.kind not in ("category", "group", "ignored"):
            continue
        values = table.frame[column.name].to_numpy(dtype=object)
        if not all(isinstance(one, str | int | float | bool | np.number | type(None)) for one in values):
            continue
        values = np.array([None if gone else str(one) for one, gone in zip(values, is_missing(values), strict=True)])
        if column.kind == "ignored" and len({one for one in values if one is not None}) > MOST_VALUES:
            continue
        found[column.name] = values
    return found


def _of(target: SavedTarget, name: str, member: np.ndarray, evidence: Evidence) -> Subgroups | None:
    scores, known = evidence.scores, evidence.scores.known(target)
    metric = evidence.figures["inputs"][target.name]["metric"]
    # R² measures each subgroup against its own spread, so that a narrow one looks bad.
    metric = "neg_mean_absolute_error" if target.kind == "number" else metric
    clusters = None if scores.groups is None else scores.groups[known]
    truth, given = scores.truth(target), scores.prediction(target)
    return subgroups(target.kind, truth, given, metric, name, member[known], clusters)


def _shown(target: SavedTarget, found: Subgroups) -> Html:
    rows = [Row(f"{one.name} ({one.records:,})", one.value) for one in found.groups]
    best, worst = found.groups[0].name, found.groups[-1].name
    interval = between(found.gap)
    said = f"The largest gap, between {best} and {worst}, is {format_number(found.gap.value)}"
    said += f" ({interval}); p {format_number(found.p)}." if interval else f"; p {format_number(found.p)}."
    if found.small:
        said += f" {found.small:,} records are of no subgroup that is large enough."
    title = f"{target.name} by {found.column}: {words(found.metric)}"
    return element("div", intervals(title, rows), paragraphs(said))
