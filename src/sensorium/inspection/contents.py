"""One pass over all files: each is decoded once, hashed, measured, and made a small picture to compare it by."""

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
from sensorium.inspection.near import SIDE
from sensorium.inspection.sounds import RATE, small_sound

_CHUNK = 64
_SILENT = 1e-4
_KINDS = {b"\xff\xd8": 1, b"\x89P": 2, b"RI": 3, b"GI": 4, b"BM": 5, b"fL": 6, b"Og": 7, b"ID": 8}


class Contents(NamedTuple):
    """What the files of one input are, by the N records.

    ids:      int64 [N], a hash of the content; 0 where it is absent or broken.
    measures: by name, float64 [N], NaN where there is none: height, width in pixels; rate in hertz, seconds; format.
    small:    uint8 [M, SIDE, SIDE, C] of the M records `having`, int64 [M]; None for kinds that have no picture.
    blank:    bool [N]: pictures of one colour, sounds without any sound.
    """

    ids: np.ndarray
    measures: dict[str, np.ndarray]
    small: np.ndarray | None
    having: np.ndarray
    blank: np.ndarray


class Pass(NamedTuple):
    """The contents by input, of media inputs only, and the values that cannot be used, in the order of the table."""

    contents: dict[str, Contents]
    bad: list[RecordError]


def look(table: Table, workers: int = 0) -> Pass:
    """Decodes every media value of `table` once, in `workers` processes."""
    specs = [spec for spec in table.schema.inputs if spec.modality in MEDIA]
    if not specs:
        return Pass({}, [])
    for spec in specs:
        table.value(0, spec)  # converts the column here, once, and not in each process
    chunks = (range(start, min(start + _CHUNK, len(table))) for start in range(0, len(table), _CHUNK))
    parts = list(map_in_order(partial(_chunk, table, specs), chunks, workers))
    contents = {spec.name: _joined([part[0][place] for part in parts]) for place, spec in enumerate(specs)}
    return Pass(contents, sorted((one for part in parts for one in part[1]), key=lambda error: error.row))


def _chunk(table: Table, specs: list[InputSpec], rows: range) -> tuple[list[Contents], list[RecordError]]:
    bad: list[RecordError] = []
    return [_of_input(table, spec, rows, bad) for spec in specs], bad


def _of_input(table: Table, spec: InputSpec, rows: range, bad: list[RecordError]) -> Contents:
    ids = np.zeros(len(rows), dtype=np.int64)
    blank = np.zeros(len(rows), dtype=bool)
    measured: list[dict[str, float]] = [{} for _ in rows]
    small, having = [], []
    for place, row in enumerate(rows):
        value = table.value(row, spec)
        if value is None:
            continue
        try:
            content = read_content(value, table.root)
            if not can_decode(spec.decoder, content, table.root):
                continue
            measured[place], picture, blank[place] = _seen(spec.modality, content, table.root)
        except ValueError as error:
            bad.append(record_error(table, row, spec, error))
            continue
        ids[place] = content_id(content)
        if picture is not None:
            small.append(picture)
            having.append(row)
    names = {name for one in measured for name in one}
    measures = {name: np.array([one.get(name, np.nan) for one in measured]) for name in sorted(names)}
    return Contents(ids, measures, np.stack(small) if small else None, np.array(having, dtype=np.int64), blank)


def _joined(parts: list[Contents]) -> Contents:
    names = sorted({name for part in parts for name in part.measures})
    measures = {
        name: np.concatenate([part.measures.get(name, np.full(len(part.ids), np.nan)) for part in parts])
        for name in names
    }
    small = [part.small for part in parts if part.small is not None]
    return Contents(
        np.concatenate([part.ids for part in parts]), measures, np.concatenate(small) if small else None,
        np.concatenate([part.having for part in parts]), np.concatenate([part.blank for part in parts]),
    )  # fmt: skip


def _seen(modality: str, content: Any, root: Path) -> tuple[dict[str, float], np.ndarray | None, bool]:
    """Measures, the small picture, and whether there is nothing in it. Raises ValueError for what cannot be decoded."""
    if modality == "image":
        pixels = image.decode(content, root)
        small = small_picture(pixels)
        height, width = pixels.shape[:2]
        return {"height": height, "width": width} | _format(content), small, bool(np.ptp(pixels) == 0)
    if modality == "audio":
        measures = measure(modality, content, root)
        samples = audio.decode(content, root, rate=RATE)
        silent = bool(np.abs(samples).max(initial=0) < _SILENT)
        return measures | _format(content), None if silent else small_sound(samples), silent
    return measure(modality, content, root), None, False


def _format(content: Any) -> dict[str, float]:
    return {"format": _KINDS.get(content[:2], 0)} if isinstance(content, bytes) else {}


def small_picture(pixels: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3] of a picture [H, W, 3]: every pixel counts, so that another size makes no difference."""
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
