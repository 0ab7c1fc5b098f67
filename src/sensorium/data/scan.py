"""One pass over a table before anything is trained: every value is decoded once, hashed and measured."""

import csv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensorium.data.contents import content_id, opened, shown
from sensorium.data.decoding import measure
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.data.workers import in_order
from sensorium.errors import RecordError, UserError, unknown
from sensorium.files import whole_file

_CHUNK = 64


class Scan(NamedTuple):
    """What a pass over N records found.

    ids:   by input name, int64 [N]: a hash of the content, 0 where it is absent or bad.
    facts: by input name, `records` (how many have it); of images the median `height` and `width` in pixels; of sounds
           the most frequent `rate` in hertz and the 95th percentile of `seconds`; of films all four; of series and sets
           of points the 95th percentile of each of their measures.
    bad:   the values that cannot be used, in the order of the table.
    """

    ids: dict[str, np.ndarray]
    facts: dict[str, dict[str, float]]
    bad: list[RecordError]


class _Seen(NamedTuple):
    """What one value gave: its content id, its measures (None where it is absent), or its error."""

    id: int = 0
    measures: dict[str, float] | None = None
    error: RecordError | None = None


def scan(table: Table, workers: int = 0) -> Scan:
    """Decodes every value of every input of `table` once, in `workers` processes; keeps hashes, measures and errors."""
    chunks = (range(start, min(start + _CHUNK, len(table))) for start in range(0, len(table), _CHUNK))
    media = any(spec.modality in MEDIA for spec in table.schema.inputs)
    seen = [row for rows in in_order(partial(_look, table), chunks, workers if media else 0) for row in rows]
    ids, facts = {}, {}
    for place, spec in enumerate(table.schema.inputs):
        column = [row[place] for row in seen]
        ids[spec.name] = np.array([one.id for one in column], dtype=np.int64)  # [N]
        facts[spec.name] = _facts([one.measures for one in column if one.measures is not None])
    return Scan(ids, facts, [one.error for row in seen for one in row if one.error is not None])


def _look(table: Table, rows: range) -> list[list[_Seen]]:
    return [[_look_at(table, row, spec) for spec in table.schema.inputs] for row in rows]


def _look_at(table: Table, row: int, spec: InputSpec) -> _Seen:
    value = table.value(row, spec)
    if value is None:
        return _Seen()
    try:
        content = opened(value, table.root) if spec.modality in MEDIA else value
        measures = measure(spec.decoder, content, table.root)
    except ValueError as error:
        return _Seen(error=record_error(table, row, spec, error))
    return _Seen() if measures is None else _Seen(content_id(content), measures)


def contents(table: Table) -> dict[str, np.ndarray]:
    """By input name, int64 [N]: the content ids that `scan` gives, undecoded; 0 also where a file is unreadable."""
    return {
        spec.name: np.array([_content(table, row, spec) for row in range(len(table))], dtype=np.int64)
        for spec in table.schema.inputs
    }


def _content(table: Table, row: int, spec: InputSpec) -> int:
    value = table.value(row, spec)
    try:
        return 0 if value is None else content_id(opened(value, table.root) if spec.modality in MEDIA else value)
    except ValueError:
        return 0


def record_error(table: Table, row: int, spec: InputSpec, error: ValueError) -> RecordError:
    """What is wrong with the value that record `row` (from 0) has for the input `spec`, as an error that names it."""
    return RecordError(int(table.rows[row]), ", ".join(spec.columns), shown(table.value(row, spec)), str(error))


def _facts(measures: list[dict[str, float]]) -> dict[str, float]:
    facts = {"records": len(measures)}
    if measures and "height" in measures[0]:
        facts |= {name: float(np.median([one[name] for one in measures])) for name in ("height", "width")}
    if measures and "rate" in measures[0]:
        rates, counts = np.unique([one["rate"] for one in measures], return_counts=True)
        seconds = np.percentile([one["seconds"] for one in measures], 95)
        rate = float(rates[counts.argmax()])
        facts |= {"rate": int(rate) if rate.is_integer() else rate, "seconds": float(seconds)}
    if measures and measures[0].keys() & {"readings", "points"}:
        facts |= {name: float(np.percentile([one[name] for one in measures], 95)) for name in measures[0]}
    return facts


def set_aside(table: Table, scan: Scan, how: str) -> tuple[Table, Scan]:
    """`table` and `scan` without the bad records.

    `how`: "stop" raises the first one's RecordError, "skip" drops them all. Raises UserError when none is left, or for
    another `how`.
    """
    if how not in ("stop", "skip"):
        raise unknown("way with bad records", how, ("stop", "skip"))
    if not scan.bad:
        return table, scan
    if how == "stop":
        raise scan.bad[0]
    keep = np.flatnonzero(~np.isin(table.rows, [error.row for error in scan.bad]))  # [kept records]
    if not len(keep):
        raise UserError(f"Every one of the {len(table)} records is bad, first of all this: {scan.bad[0]}")
    ids = {name: values[keep] for name, values in scan.ids.items()}
    facts = {name: one | {"records": int((ids[name] != 0).sum())} for name, one in scan.facts.items()}
    return table.take(keep), Scan(ids, facts, scan.bad)


def save_bad(bad: list[RecordError], path: Path) -> None:
    """Writes `bad` to the CSV file `path` (row, column, value, reason), whole or not at all.

    Raises UserError when the disk refuses.
    """
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "column", "value", "reason"])
        writer.writerows([error.row, error.column, error.value, error.reason] for error in bad)
