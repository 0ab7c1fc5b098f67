"""One pass over a table before anything is trained: every value is decoded once, hashed and measured."""

import csv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensorium.data.media.content import content_id, opened, shown
from sensorium.data.media.decoding import has, measure
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.data.workers import map_in_order
from sensorium.errors import RecordError, UserError, counted, unknown
from sensorium.files import whole_file

_PIECE = 64


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
    """What the n records of a piece have for one input: `ids` int64 [n]; `measures`, by name, float64 of those that are
    present and whole; errors. Arrays, as an object for each value would be most of what a large table takes.
    """

    ids: np.ndarray
    measures: dict[str, np.ndarray]
    errors: list[RecordError]


def scan(table: Table, workers: int = 0) -> Scan:
    """Decodes every value of every input of `table` once, in `workers` processes; keeps hashes, measures and errors."""
    pieces = (range(start, min(start + _PIECE, len(table))) for start in range(0, len(table), _PIECE))
    media = any(spec.modality in MEDIA for spec in table.schema.inputs)
    seen = list(map_in_order(partial(_look, table), pieces, workers if media else 0))
    ids, facts, bad = {}, {}, []
    for place, spec in enumerate(table.schema.inputs):
        column = [piece[place] for piece in seen]
        ids[spec.name] = np.concatenate([one.ids for one in column])  # [N]
        facts[spec.name] = _facts(int((ids[spec.name] != 0).sum()), [one.measures for one in column])
        bad += [(error.row, place, error) for one in column for error in one.errors]
    order = {int(row): index for index, row in enumerate(table.rows)} if bad else {}
    bad.sort(key=lambda one: (order[one[0]], one[1]))
    return Scan(ids, facts, [error for _, _, error in bad])


def _look(table: Table, rows: range) -> list[_Seen]:
    return [_look_at(table, rows, spec) for spec in table.schema.inputs]


def _look_at(table: Table, rows: range, spec: InputSpec) -> _Seen:
    ids, measures, errors = np.zeros(len(rows), dtype=np.int64), [], []
    for place, row in enumerate(rows):
        value = table.value(row, spec)
        if value is None:
            continue
        try:
            content = opened(value, table.root) if spec.modality in MEDIA else value
            measured = measure(spec.decoder, content, table.root)
        except ValueError as error:
            errors.append(record_error(table, row, spec, error))
            continue
        if measured is not None:
            measures.append(measured)
            ids[place] = content_id(content)
    names = measures[0] if measures else ()
    return _Seen(ids, {name: np.array([one[name] for one in measures], float) for name in names}, errors)


def contents(table: Table) -> dict[str, np.ndarray]:
    """By input name, int64 [N]: the content ids that `scan` gives, undecoded; 0 also where a file is unreadable."""
    return {
        spec.name: np.array([_content(table, row, spec) for row in range(len(table))], dtype=np.int64)
        for spec in table.schema.inputs
    }


def _content(table: Table, row: int, spec: InputSpec) -> int:
    value = table.value(row, spec)
    try:
        content = opened(value, table.root) if spec.modality in MEDIA else value
        return 0 if content is None or not has(spec.decoder, content, table.root) else content_id(content)
    except ValueError:
        return 0


def record_error(table: Table, row: int, spec: InputSpec, error: ValueError) -> RecordError:
    """What is wrong with the value that record `row` (from 0) has for the input `spec`, as an error that names it."""
    return RecordError(int(table.rows[row]), ", ".join(spec.columns), shown(table.value(row, spec)), str(error))


def _facts(records: int, pieces: list[dict[str, np.ndarray]]) -> dict[str, float]:
    names = next((piece.keys() for piece in pieces if piece), ())
    measures = {name: np.concatenate([piece[name] for piece in pieces if piece]) for name in names}
    facts: dict[str, float] = {"records": records}
    if "height" in measures:
        facts |= {name: float(np.median(measures[name])) for name in ("height", "width")}
    if "rate" in measures:
        rates, counts = np.unique(measures["rate"], return_counts=True)
        rate = float(rates[counts.argmax()])
        seconds = float(np.percentile(measures["seconds"], 95))
        facts |= {"rate": int(rate) if rate.is_integer() else rate, "seconds": seconds}
    if measures.keys() & {"readings", "points"}:
        facts |= {name: float(np.percentile(values, 95)) for name, values in measures.items()}
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
        raise UserError(f"Every one of the {counted(len(table), 'record')} is bad, first of all this: {scan.bad[0]}")
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
