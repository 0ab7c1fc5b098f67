"""One pass over a table before anything is trained: every value is decoded once, hashed and measured."""

import csv
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensorium.data.fingerprints import FINGERPRINTED, LENGTH
from sensorium.data.media.audio import TOO_LOUD
from sensorium.data.media.content import content_id, format_value, read_content
from sensorium.data.media.decoding import can_decode, measure
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.data.workers import map_in_order
from sensorium.errors import RecordError, UserError, check_known, counted
from sensorium.files import whole_file

WAYS_WITH_BAD_RECORDS = ("stop", "skip", "absent")
LIST_HEADER = ["row", "column", "value", "reason"]
_ROWS_PER_TASK = 64


class Scan(NamedTuple):
    """What a pass over N records gives.

    ids:   by input name, int64 [N]: a hash of the content, 0 where it is absent or bad.
    facts: by input name, `records` (how many have it); of images the median `height` and `width` in pixels; of audio
           the most frequent `rate` in hertz, the 95th percentile of `seconds`, the `longest` in seconds, and `cut_off`,
           how many are too loud, if any is; of videos the first five; of series and sets of points the 95th percentile
           of each measure.
    bad:   the values that cannot be used, in the order of the table.
    measures: by input name, by measure, float64 [N], NaN where there is none: height, width; rate, seconds; ...
    fingerprints: by name of a picture or sound input, uint8 [N, LENGTH], where they are asked for; 0 where absent or
           blank.
    """

    ids: dict[str, np.ndarray]
    facts: dict[str, dict[str, float]]
    bad: list[RecordError]
    measures: dict[str, dict[str, np.ndarray]]
    fingerprints: dict[str, np.ndarray]


class _ScannedInput(NamedTuple):
    """One input of the n records of a task: `ids` int64 [n]; `measures`, by name, float64 of the values that are there
    and not bad; errors; `fingerprints` uint8 [n, LENGTH], [n, 0] where there are none. Arrays, as an object for each
    value would be most of the memory that a large table takes.
    """

    ids: np.ndarray
    measures: dict[str, np.ndarray]
    errors: list[RecordError]
    fingerprints: np.ndarray


def scan(table: Table, workers: int = 0, fingerprints: bool = False) -> Scan:
    """Decodes every value of every input of `table` once, in `workers` processes: hashes, measures and errors.

    fingerprints: those of pictures and sounds are taken too, to find near-copies by.
    """
    row_ranges = (
        range(start, min(start + _ROWS_PER_TASK, len(table))) for start in range(0, len(table), _ROWS_PER_TASK)
    )
    has_media = any(spec.modality in MEDIA for spec in table.schema.inputs)
    scanned_ranges = list(
        map_in_order(partial(_scan_rows, table, fingerprints), row_ranges, workers if has_media else 0)
    )
    # Join the row ranges of each input.
    ids, measures, facts, errors, prints = {}, {}, {}, [], {}
    for position, spec in enumerate(table.schema.inputs):
        scanned_inputs = [scanned[position] for scanned in scanned_ranges]
        ids[spec.name] = np.concatenate([scanned.ids for scanned in scanned_inputs])  # [N]
        present = int((ids[spec.name] != 0).sum())
        present_measures = _join_measures([scanned.measures for scanned in scanned_inputs])
        facts[spec.name] = _summarise_measures(present, present_measures)
        measures[spec.name] = {name: np.full(len(table), np.nan) for name in present_measures}
        for name, values in present_measures.items():
            measures[spec.name][name][ids[spec.name] != 0] = values
        if fingerprints and spec.decoder in FINGERPRINTED:
            prints[spec.name] = np.concatenate([scanned.fingerprints for scanned in scanned_inputs])  # [N, LENGTH]
        errors += [(error.row, position, error) for scanned in scanned_inputs for error in scanned.errors]
    positions = {name: position for position, spec in enumerate(table.schema.inputs) for name in spec.columns}
    errors += [(misfit.row, positions[misfit.column], misfit) for misfit in table.misfits]
    # Errors in the order of the table, and of its inputs within a record.
    index_of = {int(row): index for index, row in enumerate(table.rows)} if errors else {}
    errors.sort(key=lambda entry: (index_of[entry[0]], entry[1]))
    return Scan(ids, facts, [error for _, _, error in errors], measures, prints)


def _scan_rows(table: Table, fingerprints: bool, rows: range) -> list[_ScannedInput]:
    return [_scan_input(table, rows, spec, fingerprints) for spec in table.schema.inputs]


def _scan_input(table: Table, rows: range, spec: InputSpec, fingerprints: bool) -> _ScannedInput:
    ids, measures, errors = np.zeros(len(rows), dtype=np.int64), [], []
    look = FINGERPRINTED.get(spec.decoder) if fingerprints else None
    prints = np.zeros((len(rows), 0 if look is None else LENGTH), dtype=np.uint8)
    for index, row in enumerate(rows):
        value = table.value(row, spec)
        if value is None:
            continue
        try:
            content = read_content(value, table.root) if spec.modality in MEDIA else value
            if look is None:
                value_measures = measure(spec.decoder, content, table.root)
            else:
                value_measures, prints[index] = look(content, table.root)
        except ValueError as error:
            errors.append(record_error(table, row, spec, error))
            continue
        if value_measures is not None:
            measures.append(value_measures)
            ids[index] = content_id(content)
    names = measures[0] if measures else ()
    columns = {name: np.array([value_measures[name] for value_measures in measures], float) for name in names}
    return _ScannedInput(ids, columns, errors, prints)


def content_ids(table: Table) -> dict[str, np.ndarray]:
    """By input name, int64 [N]: the ids that `scan` gives, without decoding; 0 also where a file is unreadable."""
    return {
        spec.name: np.array([_cell_id(table, row, spec) for row in range(len(table))], dtype=np.int64)
        for spec in table.schema.inputs
    }


def _cell_id(table: Table, row: int, spec: InputSpec) -> int:
    value = table.value(row, spec)
    try:
        content = read_content(value, table.root) if spec.modality in MEDIA else value
        return 0 if content is None or not can_decode(spec.decoder, content, table.root) else content_id(content)
    except ValueError:
        return 0


def record_error(table: Table, row: int, spec: InputSpec, error: ValueError) -> RecordError:
    """What is wrong with the value that record `row` (from 0) has for the input `spec`, as an error that names it."""
    return RecordError(int(table.rows[row]), ", ".join(spec.columns), format_value(table.value(row, spec)), str(error))


def _join_measures(row_ranges: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The measures of one input, of the values that are there and not bad, from those in each range of rows."""
    row_ranges = [columns for columns in row_ranges if columns]
    names = row_ranges[0].keys() if row_ranges else ()
    return {name: np.concatenate([columns[name] for columns in row_ranges]) for name in names}


def _summarise_measures(records: int, measures: dict[str, np.ndarray]) -> dict[str, float]:
    """The facts of one input that `records` records have, from the measures of these."""
    facts: dict[str, float] = {"records": records}
    if "height" in measures:
        facts |= {name: float(np.median(measures[name])) for name in ("height", "width")}
    if "rate" in measures:
        rates, counts = np.unique(measures["rate"], return_counts=True)
        rate = float(rates[counts.argmax()])
        seconds = float(np.percentile(measures["seconds"], 95))
        facts |= {"rate": int(rate) if rate.is_integer() else rate, "seconds": seconds}
        facts["longest"] = float(measures["seconds"].max())
    if "peak" in measures and (measures["peak"] > TOO_LOUD).any():
        facts["cut_off"] = int((measures["peak"] > TOO_LOUD).sum())
    if measures.keys() & {"readings", "points"}:
        facts |= {name: float(np.percentile(values, 95)) for name, values in measures.items()}
    return facts


def drop_bad_records(table: Table, scanned: Scan, how: str) -> tuple[Table, Scan]:
    """`table` and its scan without the bad records; `bad` still lists these.

    `how`: "stop" raises the RecordError of the first, "skip" drops them all, "absent" keeps them without the values
    that are bad. Raises UserError when all records are bad and dropped, or for another `how`.
    """
    check_known(WAYS_WITH_BAD_RECORDS, "way with bad records", how)
    if not scanned.bad:
        return table, scanned
    if how == "absent":
        return table.without_values(scanned.bad), scanned
    if how == "stop":
        raise scanned.bad[0]
    good_rows = np.flatnonzero(~np.isin(table.rows, [error.row for error in scanned.bad]))  # [good records]
    if not len(good_rows):
        raise UserError(f"Every one of the {counted(len(table), 'record')} is bad, first of all this: {scanned.bad[0]}")
    ids = {name: column[good_rows] for name, column in scanned.ids.items()}
    facts = {
        name: input_facts | {"records": int((ids[name] != 0).sum())} for name, input_facts in scanned.facts.items()
    }
    measures = {
        name: {measure: values[good_rows] for measure, values in columns.items()}
        for name, columns in scanned.measures.items()
    }
    fingerprints = {name: prints[good_rows] for name, prints in scanned.fingerprints.items()}
    return table.take(good_rows), Scan(ids, facts, scanned.bad, measures, fingerprints)


def leave_out(table: Table, index: np.ndarray, column: str, reason: str, path: Path) -> None:
    """Adds the records `index`, bool [N], which are left out for a `reason` that lies in `column`, to a list at `path`.

    It is the list that write_bad_records began, or a new one. Raises UserError when the disk refuses.
    """
    rows = [[int(row), column, "", reason] for row in table.rows[index]]
    if rows:
        listed = list(csv.reader(path.open(newline="", encoding="utf-8"))) if path.exists() else [LIST_HEADER]
        _write_list(listed + rows, path)


def write_bad_records(bad: list[RecordError], path: Path) -> None:
    """Writes `bad` to the CSV file `path` (row, column, value, reason), whole or not at all.

    Raises UserError when the disk refuses.
    """
    _write_list([LIST_HEADER, *([error.row, error.column, error.value, error.reason] for error in bad)], path)


def _write_list(rows: list[list], path: Path) -> None:
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
