"""A look at a table before training: what its columns are, what is wrong with them, and what `fit` would do."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensorium.config.load import check_recipe
from sensorium.config.options import apply_options
from sensorium.config.schema import Recipe
from sensorium.data import split as splitting
from sensorium.data.columns.parse import is_missing
from sensorium.data.infer_schema import stated_roles
from sensorium.data.schema import Schema
from sensorium.data.sources.tables import read_source
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.inspection.absences import Pattern, absence_findings, patterns
from sensorium.inspection.classes import class_findings, group_findings, spelling
from sensorium.inspection.contents import Contents, Pass, look
from sensorium.inspection.copies import blank_findings, copy_findings
from sensorium.inspection.estimate import Plan, plan
from sensorium.inspection.finding import SEVERITIES, Finding
from sensorium.inspection.kinds import settle
from sensorium.inspection.leaks import leak_findings
from sensorium.inspection.sizes import Size, counts, sizes
from sensorium.inspection.values import value_findings


@dataclass(frozen=True)
class Inspection:
    """What a look at a table found.

    `table` is the table as far as it could be mended, `held_out` which of its records are the test's, bool [N] or None.
    `unplanned` says why there is no `plan`.
    """

    table: Table
    held_out: np.ndarray | None
    findings: list[Finding]
    patterns: list[Pattern]
    classes: dict[str, dict[str, int]]
    sizes: list[Size]
    plan: Plan | None = None
    unplanned: str = ""
    seconds: float = field(default=0.0, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        schema = self.table.schema
        return {
            "records": len(self.table),
            "columns": [column.model_dump() for column in schema.columns],
            "inputs": [spec.model_dump() for spec in schema.inputs],
            "targets": [spec.model_dump() for spec in schema.targets],
            "findings": [one.to_dict() for one in self.findings],
            "absent_together": [one._asdict() for one in self.patterns],
            "classes": self.classes,
            "sizes": [one.to_dict() for one in self.sizes],
            "plan": self.plan and self.plan.to_dict(),
            "unplanned": self.unplanned,
        }


def inspect(
    records: str | Path | pd.DataFrame | Iterable[dict], workers: int | None = None, **options: Any
) -> Inspection:
    """Looks at a table before anything is trained; takes the options of `fit` that say what the columns are.

    Goes on where `fit` would stop: what would stop it is among the findings. `options`: target, group, key, columns,
    split, held_out, test, and any other setting, which the plan follows. Raises UserError when the table cannot be read
    at all, or an option does not fit it.
    """
    began = time.monotonic()
    recipe = check_recipe(apply_options({}, options), "the settings")
    data = recipe.data
    if data.split is not None and data.test is not None:
        raise UserError(
            "A split and a share for the test both say which records are held out; leave one of the two out."
        )
    source = read_source(records)
    bare = Table(
        source.frame, Schema(columns=[], inputs=[]), source.root, np.arange(1, len(source.frame) + 1), source.name
    )
    aside = {} if data.split in {*data.columns, *data.target, data.group, data.key, None} else {data.split: "ignored"}
    targets, stated = stated_roles(bare, data.target, data.group, data.key, data.columns | aside)
    settled = settle(bare, targets, stated, source.kinds)
    table, held_out, said = _sides(settled.table, recipe)
    scanning = time.monotonic()
    seen = look(table, _workers(table) if workers is None else workers)
    scanning = time.monotonic() - scanning
    usable, kept = _usable(table, held_out, seen)
    found = settled.findings + said + _broken(seen) + _findings(usable, kept, _rows_of(table, seen))
    planned, why = _plan(usable, recipe, scanning)
    return Inspection(
        table, held_out, _ordered(found), patterns(table), counts(table), sizes(table, seen.contents), planned, why,
        time.monotonic() - began,
    )  # fmt: skip


def _workers(table: Table) -> int:
    return 0 if len(table) < 200 else max(1, min(4, os.cpu_count() or 1))


def _sides(table: Table, recipe: Recipe) -> tuple[Table, np.ndarray | None, list[Finding]]:
    """The table without the column of the split, which records are held out, and what is wrong with the split."""
    data = recipe.data
    said: list[Finding] = []
    column, test = data.split, data.held_out
    if column is None and data.test is None:
        column = _looks_like_split(table)
        if column is None:
            return table, None, []
        sentence = (
            f"Column '{column}' looks like a split, but fit would read it as an input; say --split {column}=test."
        )
        said = [Finding("unstated-split", "warning", column, [], sentence)]
    try:
        ratio = None if data.test is None else 1 - data.test
        table, _, second = splitting.sides(table, ratio, recipe.seed, column, test)
    except UserError as error:
        return table, None, [Finding("split", "error", column or "", [], str(error))]
    held_out = np.zeros(len(table), dtype=bool)
    held_out[second] = True
    return table, held_out, said


def _looks_like_split(table: Table) -> str | None:
    """A category column that nobody stated, with 'test' against 'train' among its values."""
    for column in table.schema.columns:
        if column.kind == "category" and column.reason != "stated":
            values = table.frame[column.name].to_numpy()
            known = {str(value).strip().casefold() for value in pd.unique(values[~is_missing(values)])}
            if (
                known <= {"train", "training", "test", "testing", "validation", "valid", "val", "dev"}
                and len(known) == 2
            ):
                return column.name
    return None


def _usable(table: Table, held_out: np.ndarray | None, seen: Pass) -> tuple[Table, np.ndarray | None]:
    """The records without broken files, and which of these are held out."""
    keep = ~np.isin(table.rows, [error.row for error in seen.bad])
    if keep.all() or not keep.any():
        return table, held_out
    return table.take(np.flatnonzero(keep)), None if held_out is None else held_out[keep]


def _rows_of(table: Table, seen: Pass) -> dict[str, Contents]:
    """The contents of the records without broken files."""
    keep = ~np.isin(table.rows, [error.row for error in seen.bad])
    if keep.all() or not keep.any():
        return seen.contents
    place = np.cumsum(keep) - 1
    return {
        name: Contents(
            one.ids[keep], {key: values[keep] for key, values in one.measures.items()},
            None if one.small is None else one.small[keep[one.having]], place[one.having[keep[one.having]]],
            one.blank[keep],
        )
        for name, one in seen.contents.items()
    }  # fmt: skip


def _broken(seen: Pass) -> list[Finding]:
    return [
        Finding("broken-file", "error", error.column, [error.row], str(error))
        for error in seen.bad
    ]  # fmt: skip


def _findings(table: Table, held_out: np.ndarray | None, contents: dict[str, Contents]) -> list[Finding]:
    found = value_findings(table)
    named = [(column.name, False) for column in table.schema.columns if column.kind in ("category", "group")]
    spelled = [target for target in table.schema.targets if target.kind in ("class", "labels")]
    named += [(target.name, target.kind == "labels") for target in spelled]
    for name, several in named:
        found += spelling(table, name, several)
    found += class_findings(table, held_out)
    found += [] if held_out is None else group_findings(table, held_out)
    found += absence_findings(table, held_out)
    found += copy_findings(table, contents, held_out)[0]
    return found + blank_findings(table, contents) + leak_findings(table, contents)


def _ordered(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: list(SEVERITIES).index(one.severity))


def _plan(table: Table, recipe: Recipe, scanning: float) -> tuple[Plan | None, str]:
    """What fit would do once the findings that would stop it are mended; or why that cannot be said."""
    if not table.schema.targets:
        return None, "name what is to be learned with --target"
    if not table.schema.inputs:
        return None, "there is no input"
    try:
        return plan(table, recipe, scanning), ""
    except UserError as error:
        return None, str(error)
