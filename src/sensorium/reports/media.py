"""Pictures, sounds and texts of records, small enough to stand in the page."""

import base64
import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from sensorium.data.media.audio import encode_mp3
from sensorium.data.media.decoding import decode
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.inputs import format_number
from sensorium.reports.plots import WIDTH, colour, dotted, element, path_of, rounded
from sensorium.reports.render import render

SIDE, QUALITY = 200, 72  # pixels of a picture's longer side; of its JPEG
SMALLEST = 96  # pixels that the longer side of a smaller picture is shown at
RATE, SECONDS, BIT_RATE = 16_000, 8, 32_000  # of a sound: hertz, at most so long, bits a second
MOST_LETTERS, MOST_CELLS = 400, 8
MOST_COLUMNS, MOST_STEPS, MOST_POINTS = 5, 200, 400  # of a series; of a set of points
HEIGHT, MARGIN = 120, 4  # units of a drawing without axes


Drawing = Callable[[Any], Any]
"""A decoded value -> the same with something drawn into it."""


class Media:
    """Shows what records have, until `budget` bytes are spent; later ones are only named."""

    def __init__(self, table: Table, budget: int = 1_700_000):
        self.table, self.budget = table, budget
        self.cache: dict[tuple[int, str, bool], Markup] = {}

    def of_record(self, row: int, drawings: Mapping[str, Drawing] = MappingProxyType({})) -> list[Markup]:
        """Every input of record `row`, from 0; `drawings` change, by name, what is shown of them."""
        return [self._input(row, spec, drawings.get(spec.name)) for spec in self.table.schema.inputs]

    def _input(self, row: int, spec: InputSpec, drawing: Drawing | None) -> Markup:
        cell = self.table.value(row, spec)
        if cell is None:
            return _sentence(spec, "absent")
        cache_key = row, spec.name, drawing is not None
        if cache_key not in self.cache:
            html = self._show(cell, spec, drawing)
            self.cache[cache_key] = html
            self.budget -= len(html)
        return self.cache[cache_key] if self.budget >= 0 else _sentence(spec, "left out, to keep this file small")

    def _show(self, cell: Any, spec: InputSpec, drawing: Drawing | None) -> Markup:
        try:
            value = decode(spec.decoder, cell, self.table.root, **DECODER_OPTIONS.get(spec.modality, {}))
            value = value if drawing is None or value is None else drawing(value)
            return _sentence(spec, "absent") if value is None else RENDERERS[spec.modality](spec, value)
        except ValueError as error:
            return _sentence(spec, f"cannot be shown, {error}")


def _sentence(spec: InputSpec, sentence: str) -> Markup:
    """What stands in the place of an input that is not shown."""
    return render("media/not_shown", name=spec.name, sentence=sentence)


def _image(spec: InputSpec, pixels: np.ndarray) -> Markup:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    scale = max(1.0, SMALLEST / max(image.size))
    width, height = (round(scale * side) for side in image.size)
    return render(
        "media/image", name=spec.name, content=base64.b64encode(file.getvalue()).decode(), width=width, height=height
    )


def _audio(spec: InputSpec, samples: np.ndarray) -> Markup:
    content = encode_mp3(samples[: RATE * SECONDS], RATE, BIT_RATE)
    return render("media/audio", name=spec.name, content=base64.b64encode(content).decode())


def _text(_: InputSpec, text: str) -> Markup:
    return render("media/text", text=text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…")


def _table(_: InputSpec, cells: dict[str, Any]) -> Markup:
    texts = {name: _spell_cell(value) for name, value in list(cells.items())[:MOST_CELLS]}
    return render("media/table", cells=texts, more=len(cells) - len(texts))


def _spell_cell(value: Any) -> str:
    if value is None:
        return "absent"
    return format_number(value) if isinstance(value, float) else str(value)


def _series(spec: InputSpec, series: Any) -> Markup:
    """Each column as a line, without axes."""
    times, columns = np.asarray(series.times, float), np.asarray(series.values, float).T[:MOST_COLUMNS]
    drawing = []
    for index, column in enumerate(columns):
        steps = _evenly(np.flatnonzero(np.isfinite(column)), MOST_STEPS)
        points = path_of(_fitted(times[steps], column[steps]))
        drawing.append(element("polyline", points=points, class_=colour(index)))
    return _drawing(spec, *drawing)


def _points(spec: InputSpec, points: np.ndarray) -> Markup:
    """Dots [N] by their first two coordinates, without axes."""
    chosen = _evenly(points, MOST_POINTS)
    y = chosen[:, 1] if chosen.shape[1] > 1 else np.zeros(len(chosen))
    return _drawing(spec, dotted(_fitted(chosen[:, 0], y), stroke_width=4))


def _evenly(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the values, evenly spread."""
    return values[np.linspace(0, len(values) - 1, min(len(values), most)).astype(int)] if len(values) else values


def _fitted(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Points moved and scaled to fill a drawing."""
    if not len(x):
        return []
    sides = ((x, WIDTH - 2 * MARGIN), (-y, HEIGHT - 2 * MARGIN))
    scaled = [(values - values.min()) / (float(np.ptp(values)) or 1.0) * size + MARGIN for values, size in sides]
    return [(rounded(a), rounded(b)) for a, b in zip(*scaled, strict=True)]


def _drawing(spec: InputSpec, *drawing: Markup) -> Markup:
    return render("media/drawing", spec=spec, drawing=drawing, width=WIDTH, height=HEIGHT)


DECODER_OPTIONS: dict[str, dict[str, Any]] = {"audio": {"rate": RATE}, "video": {"frames": 1}}
RENDERERS: dict[str, Callable[[InputSpec, Any], Markup]] = {
    "audio": _audio,
    "image": _image,
    "points": _points,
    "series": _series,
    "table": _table,
    "text": _text,
    "video": lambda spec, video: _image(spec, video.frames[0]),
}
