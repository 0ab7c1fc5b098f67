"""One pass over all files: each is decoded once, hashed, measured, and made a thumbnail to compare it by."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sensorium.data.media import audio, image
from sensorium.data.media.content import content_id, read_content
from sensorium.data.media.decoding import can_decode, measure
from sensorium.data.scan import record_error
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.data.workers import map_in_order
from sensorium.errors import RecordError
from sensorium.inspection.near import fingerprint
from sensorium.inspection.sounds import RATE, spectrogram_picture

_CHUNK = 64
_SILENT = 1e-4


class Contents(NamedTuple):
    """What the files of one input are, by the N records.

    ids:        int64 [N], a hash of the content; 0 where it is absent or broken.
    measures:   by name, float64 [N], NaN where there is none: height, width in pixels; rate in hertz, seconds; ...
    hashes:     uint64 [N], of pictures and sounds: alike where these are; 0 for other kinds.
    thumbnails: uint8 [N, 8, 8, 3] of the same.
    blank:      bool [N]: pictures of one colour, sounds without any sound."""

    ids: np.ndarray
    measures: dict[str, np.ndarray]
    hashes: np.ndarray
    thumbnails: np.ndarray
    blank: np.ndarray

    def take(self, keep: np.ndarray) -> "Contents":
        """Those of the records `keep`, bool [N]."""
        measures = {name: values[keep] for name, values in self.measures.items()}
        return Contents(self.ids[keep], measures, self.hashes[keep], self.thumbnails[keep], self.blank[keep])


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
    """(id, measures, hash, thumbnail, blank) of one value; None where it is absent, an error where it is broken."""
    value = table.value(row, spec)
    if value is None:
        return None
    try:
        content = read_content(value, table.root)
        if not can_decode(spec.decoder, content, table.root):
            return None
        measures, picture, blank = _decode(spec.modality, content, table.root)
    except ValueError as error:
        return record_error(table, row, spec, error)
    return content_id(content), measures, *fingerprint(picture or Image.new("L", (8, 8))), blank


def _decode(modality: str, content: Any, root: Path) -> tuple[dict[str, float], Image.Image | None, bool]:
    """Measures, the picture to compare it by, and whether there is nothing in it. Raises ValueError."""
    if modality == "image":
        pixels = image.decode(content, root)  # uint8 [H, W, 3]
        return dict(zip(("height", "width"), pixels.shape, strict=False)), Image.fromarray(pixels), not np.ptp(pixels)
    measures = measure(modality, content, root)
    if modality != "audio":
        return measures, None, False
    samples = audio.decode(content, root, rate=RATE)  # float32 [S]
    silent = bool(np.abs(samples).max(initial=0) < _SILENT)
    return measures, None if silent else spectrogram_picture(samples), silent


def _join(values: list[tuple | RecordError | None]) -> Contents:
    """The contents of one input, from those of its N records."""
    empty = (0, {}, np.uint64(0), np.zeros((8, 8, 3), np.uint8), False)
    records = [value if isinstance(value, tuple) else empty for value in values]
    ids, measured, hashes, thumbnails, blank = zip(*records, strict=True)
    names = sorted({name for measures in measured for name in measures})
    measures = {name: np.array([each.get(name, np.nan) for each in measured], float) for name in names}
    return Contents(
        np.array(ids, dtype=np.int64), measures, np.array(hashes), np.stack(thumbnails), np.array(blank, dtype=bool)
    )
