"""One pass over all files: each is decoded once, hashed, measured, and made a thumbnail to compare it by."""

from functools import partial
from typing import NamedTuple

import numpy as np

from sensorium.data.fingerprints import FINGERPRINTED, LENGTH
from sensorium.data.media.content import content_id, read_content
from sensorium.data.media.decoding import can_decode, measure
from sensorium.data.scan import record_error
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.data.workers import map_in_order
from sensorium.errors import RecordError

_CHUNK = 64
_NO_FINGERPRINT = np.zeros(LENGTH, dtype=np.uint8)


class Contents(NamedTuple):
    """What the files of one input are, by the N records.

    ids:        int64 [N], a hash of the content; 0 where it is absent or broken.
    measures:   by name, float64 [N], NaN where there is none: height, width in pixels; rate in hertz, seconds; ...
    fingerprints: uint8 [N, LENGTH], of pictures and sounds; 0 for other kinds.
    blank:      bool [N]: pictures of one colour, sounds without any sound."""

    ids: np.ndarray
    measures: dict[str, np.ndarray]
    fingerprints: np.ndarray
    blank: np.ndarray

    def take(self, keep: np.ndarray) -> "Contents":
        """Those of the records `keep`, bool [N]."""
        measures = {name: values[keep] for name, values in self.measures.items()}
        return Contents(self.ids[keep], measures, self.fingerprints[keep], self.blank[keep])


class TableContents(NamedTuple):
    """The contents by input, of media inputs only, and the values that cannot be used, in the order of the table."""

    contents: dict[str, Contents]
    bad: list[RecordError]


def look(table: Table, workers: int = 0) -> TableContents:
    """Decodes every media value of `table` once, in `workers` processes."""
    specs = [spec for spec in table.schema.inputs if spec.modality in MEDIA]
    if not specs:
        return TableContents({}, [])
    for spec in specs:
        table.value(0, spec)  # converts the column here, once, and not in each process
    chunks = (range(start, min(start + _CHUNK, len(table))) for start in range(0, len(table), _CHUNK))
    rows = [row for chunk in map_in_order(partial(_chunk_rows, table, specs), chunks, workers) for row in chunk]
    contents = {spec.name: _join([row[index] for row in rows]) for index, spec in enumerate(specs)}
    return TableContents(contents, [value for row in rows for value in row if isinstance(value, RecordError)])


def _chunk_rows(table: Table, specs: list[InputSpec], rows: range) -> list[list[tuple | RecordError | None]]:
    return [[_read(table, spec, row) for spec in specs] for row in rows]


def _read(table: Table, spec: InputSpec, row: int) -> tuple | RecordError | None:
    """(id, measures, fingerprint, blank) of one value; None where it is absent, an error where it is broken."""
    value = table.value(row, spec)
    if value is None:
        return None
    try:
        content = read_content(value, table.root)
        if not can_decode(spec.decoder, content, table.root):
            return None
        blank, fingerprint = False, _NO_FINGERPRINT
        if spec.decoder in FINGERPRINTED:
            measures, fingerprint = FINGERPRINTED[spec.decoder](content, table.root)
            blank = not fingerprint.any()
        else:
            measures = measure(spec.modality, content, table.root)
    except ValueError as error:
        return record_error(table, row, spec, error)
    return content_id(content), measures, fingerprint, blank


def _join(values: list[tuple | RecordError | None]) -> Contents:
    """The contents of one input, from those of its N records."""
    empty = (0, {}, _NO_FINGERPRINT, False)
    records = [value if isinstance(value, tuple) else empty for value in values]
    ids, measured, fingerprints, blank = zip(*records, strict=True)
    names = sorted({name for measures in measured for name in measures})
    measures = {name: np.array([each.get(name, np.nan) for each in measured], float) for name in names}
    return Contents(np.array(ids, dtype=np.int64), measures, np.stack(fingerprints), np.array(blank, dtype=bool))
