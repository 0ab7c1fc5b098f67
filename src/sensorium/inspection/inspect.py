"""A look at a table before training: what its columns are, what is wrong with them, and what `fit` would do."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sensorium.config.load import check_recipe
from sensorium.config.options import apply_options, collect_options
from sensorium.config.schema import Recipe
from sensorium.data import split as splitting
from sensorium.data.columns.parse import is_missing
from sensorium.data.finding import SEVERITIES, Finding
from sensorium.data.infer_schema import infer_schema
from sensorium.data.near_copies import ColumnFamilies, compare_columns, join_families, source_sentences
from sensorium.data.scan import scan
from sensorium.data.schema import Schema
from sensorium.data.sources.tables import read_source
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation.embedding import workers_for
from sensorium.inspection.absences import Pattern, absence_findings, patterns
from sensorium.inspection.classes import class_findings, group_findings
from sensorium.inspection.contents import Contents, contents_of
from sensorium.inspection.copies import blank_findings, copy_findings
from sensorium.inspection.estimate import Plan, plan
from sensorium.inspection.leaks import leak_findings
from sensorium.inspection.sizes import Size, class_counts, sizes
from sensorium.inspection.targets import TargetCells, target_cells
from sensorium.inspection.values import value_findings
from sensorium.nn.torch_state import usual_torch

_SPLIT_NAMES = {"train", "training", "test", "testing", "validation", "valid", "val", "dev"}


@dataclass(frozen=True)
class Inspection:
    """What a look at a table found. `table` is the table as far as its cells can be read, `held_out` which of its
    records are the test's, bool [N] or None. `unplanned` says why there is no `plan`."""

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
            "findings": [finding._asdict() for finding in self.findings],
            "absent_together": [pattern._asdict() for pattern in self.patterns],
            "classes": self.classes,
            "sizes": [size._asdict() for size in self.sizes],
            "plan": self.plan and self.plan._asdict(),
            "unplanned": self.unplanned,
        }


@usual_torch()
def inspect(
    records: str | Path | pd.DataFrame | Iterable[dict],
    workers: int | None = None,
    *,
    target: str | Iterable[str] | Mapping[str, str | None] | None = None,
    group: str | None = None,
    key: str | None = None,
    columns: Mapping[str, str] | None = None,
    test: float | None = None,
    split: str | None = None,
    held_out: str | None = None,
    **settings: Any,
) -> Inspection:
    """Looks at a table before anything is trained; takes the options of `fit` that say what the columns are.

    Goes on where `fit` would stop: what would stop it is among the findings. workers: processes that read files.
    target, group, key, columns, test, split and held_out are as in `fit`, and so is any other of the `settings`, which
    the plan follows. Raises UserError when the table cannot be read at all, or an option does not fit it."""
    options = collect_options(locals(), not_settings={"workers"})
    began = time.monotonic()
    recipe = check_recipe(apply_options({}, options), "the settings")
    if recipe.data.split is not None and recipe.data.test is not None:
        raise UserError(
            "A split and a share for the test both say which records are held out; leave one of the two out."
        )
    # 1. What each column is, and every file once.
    table, findings = _read(records, recipe)
    scan_began = time.monotonic()
    if workers is None:
        workers = workers_for(table)
    scanned = scan(table, workers, fingerprints=True)
    files, bad = contents_of(scanned, table.schema.inputs), scanned.bad
    scan_seconds = time.monotonic() - scan_began
    # 2. Which records are near-copies, and which are held out.
    copies = compare_columns(table, scanned.ids, scanned.fingerprints)
    table, held_out, split_findings = _split(table, recipe, copies)
    findings += split_findings + _missing_packages()
    findings += [Finding("broken-file", "error", each.column, [each.row], str(each)) for each in bad]
    usable = ~np.isin(table.rows, [error.row for error in bad])
    usable = usable if usable.any() else np.ones_like(usable)
    # 3. What is wrong with the records without a broken file, and what fit would make of them.
    records_table, targets = table.take(usable), [target_cells(table, spec) for spec in table.schema.targets]
    findings += _record_findings(
        records_table,
        [target.take(usable) for target in targets],
        {name: contents.take(usable) for name, contents in files.items()},
        [column.take(usable) for column in copies],
        None if held_out is None else held_out[usable],
    )
    planned, unplanned = _plan(records_table, recipe, scan_seconds)
    return Inspection(
        table, held_out, sorted(findings, key=lambda finding: list(SEVERITIES).index(finding.severity)),
        patterns(table), {target.name: class_counts(target) for target in targets if target.labels},
        sizes(table, files), planned, unplanned, time.monotonic() - began,
    )  # fmt: skip


def _read(records: str | Path | pd.DataFrame | Iterable[dict], recipe: Recipe) -> tuple[Table, list[Finding]]:
    source, data = read_source(records), recipe.data
    rows = np.arange(1, len(source.frame) + 1)
    bare, errors = Table(source.frame, Schema(columns=[], inputs=[]), source.root, rows, source.name), []
    has_role = {*data.columns, *data.target, data.group, data.key, None}
    split_column = {} if data.split in has_role else {data.split: "ignored"}
    columns = data.columns | split_column
    table = infer_schema(
        bare, data.target, data.group, data.key, columns, source.kinds, data.inputs or None, on_error=errors.append
    )
    noticed = [Finding("source", "note", "", [], notice) for notice in source.notices]
    return table, errors + noticed + table.findings


def _missing_packages() -> list[Finding]:
    """A note on what is not looked for, for want of a package."""
    if find_spec("ftfy") is not None:
        return []
    sentence = (
        "Letters damaged by a wrong encoding are not looked for, which needs ftfy: pip install 'sensorium[inspect]'."
    )
    return [Finding("not-looked-for", "note", "", [], sentence)]


def _split(
    table: Table, recipe: Recipe, copies: list[ColumnFamilies]
) -> tuple[Table, np.ndarray | None, list[Finding]]:
    """The table without the column of the split, which records are held out, and what is wrong with the split."""
    data, findings = recipe.data, []
    column = data.split
    if column is None and data.test is None:
        column = _unstated_split(table)
        if column is None:
            return table, None, []
        sentence = (
            f"Column '{column}' looks like a split, but fit would read it as an input; say --split {column}=test."
        )
        findings = [Finding("unstated-split", "warning", column, [], sentence)]
    try:
        ratio = None if data.test is None else 1 - data.test
        together = join_families(copies, table.groups) if data.near_copies else None
        table, _, test = splitting.sides(table, ratio, recipe.seed, column, data.held_out, together)
    except UserError as error:
        return table, None, [Finding("split", "error", column or "", [], str(error))]
    held_out = np.zeros(len(table), dtype=bool)
    held_out[test] = True
    return table, held_out, findings


def _unstated_split(table: Table) -> str | None:
    """A category column that nobody stated, with 'test' against 'train' among its values."""
    for column in table.schema.columns:
        if column.kind == "category" and column.reason != "stated":
            values = table.frame[column.name].to_numpy()
            names = {str(value).strip().casefold() for value in pd.unique(values[~is_missing(values)])}
            if len(names) == 2 and names <= _SPLIT_NAMES:
                return column.name
    return None


def _record_findings(
    table: Table,
    targets: list[TargetCells],
    contents: dict[str, Contents],
    copies: list[ColumnFamilies],
    held_out: np.ndarray | None,
) -> list[Finding]:
    findings = value_findings(table)
    classes = [target for target in targets if target.labels and not target.repeats_inputs]
    for target in classes:
        findings += class_findings(table, target, held_out)
    findings += [] if held_out is None else group_findings(table, held_out)
    for name, sentence in source_sentences(table).items():
        findings.append(Finding("unstated-source", "note", name, [], sentence))
    findings += absence_findings(table, targets)
    findings += copy_findings(table, targets, contents, held_out, copies) + blank_findings(table, contents)
    for target in targets:
        findings += leak_findings(table, target, contents)
    return findings


def _plan(table: Table, recipe: Recipe, scan_seconds: float) -> tuple[Plan | None, str]:
    """What fit would do once the findings that would stop it are mended; or why that cannot be said."""
    if not table.schema.targets:
        return None, "name what is to be learned with --target"
    if not table.schema.inputs:
        return None, "there is no input"
    try:
        return plan(table, recipe, scan_seconds), ""
    except UserError as error:
        return None, str(error)
