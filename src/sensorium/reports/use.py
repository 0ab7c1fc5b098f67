"""How a run's model is used: the exact lines, for a shell and for Python."""

import shlex
from pathlib import Path
from typing import NamedTuple

from sensorium.reports.evidence import Evidence
from sensorium.reports.facts import input_names
from sensorium.reports.render import Section, render

NEW = "new.csv"  # the table that the lines name


class UseLines(NamedTuple):
    """Lines that work as they stand where there is a table `NEW` with these columns."""

    shell: list[str]
    python: list[str]
    columns: list[str]


def use(evidence: Evidence) -> Section | None:
    """The section; None where there is no model."""
    if evidence.schema is None:
        return None
    return Section("use", "Use this model", render("use", lines=use_lines(evidence), table=NEW))


def use_lines(evidence: Evidence) -> UseLines:
    """The lines for the run's folder; of a retrieval, how its records are searched."""
    folder = shlex.quote(evidence.folder)
    lines = (_retrieval_lines if evidence.figures.get("retrieval") else _target_lines)(evidence, folder)
    return UseLines(*lines, input_names(evidence))


def _target_lines(evidence: Evidence, folder: str) -> tuple[list[str], list[str]]:
    shell = [f"sensorium predict {folder} {NEW} --out predictions.csv", f"sensorium evaluate {folder} test.csv"]
    return shell, [f"predictions = sensorium.predict({evidence.folder!r}, {NEW!r})", "print(predictions)"]


def _retrieval_lines(evidence: Evidence, folder: str) -> tuple[list[str], list[str]]:
    """An index of the first input that is no text, looked through by a text where the model reads any."""
    schema = evidence.schema
    texts, names = schema.inputs_of("text"), [spec.name for spec in schema.inputs]
    indexed = next((name for name in names if name not in texts), names[0])
    index, query = f"{Path(evidence.folder).name}.lance", "some words" if texts else "query.png"
    shell = [
        f"sensorium index {folder} {NEW} --input {shlex.quote(indexed)} --out {shlex.quote(index)}",
        f'sensorium search {shlex.quote(index)} "{query}"',
    ]
    python = [
        f"sensorium.index({evidence.folder!r}, {NEW!r}, {index!r}, input={indexed!r})",
        f"print(sensorium.search({index!r}, {query!r}))",
    ]
    return shell, python
