"""Pictures, sounds and texts of records, small enough to stand in the page."""

import base64
import io
from typing import Any

import av
import numpy as np
from PIL import Image

from sensorium.data.media.decoding import decode
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.inputs import format_number
from sensorium.reports.markup import Html, element, joined
from sensorium.reports.plots import WIDTH, r

SIDE, QUALITY = 200, 72  # pixels of a picture's longer side; of its JPEG
RATE, SECONDS, BITS = 16_000, 8, 32_000  # of a sound: hertz, at most so long, bits a second
LETTERS, CELLS = 400, 8
SMALL = 96  # pixels that the longer side of a smaller picture is shown at


class Media:
    """Shows what records have, until `budget` bytes are spent; what comes later is only said to be there."""

    def __init__(self, table: Table, budget: int = 1_700_000):
        self.table, self.left, self.kept = table, budget, {}

    def shown(self, row: int) -> list[Html]:
        """Every input of record `row`, from 0."""
        return [self._input(row, spec) for spec in self.table.schema.inputs]

    def _input(self, row: int, spec: InputSpec) -> Html:
        value = self.table.value(row, spec)
        if value is None:
            return element("p", f"{spec.name}: absent", class_="soft")
        if (row, spec.name) not in self.kept:
            options = {"rate": RATE} if spec.decoder in ("audio", "film sound") else {}
            options = {"frames": 1} if spec.modality == "video" else options
            try:
                made = self._made(spec, decode(spec.decoder, value, self.table.root, **options))
            except ValueError as error:
                made = element("p", f"{spec.name}: cannot be shown, {error}", class_="soft")
            self.kept[row, spec.name] = made
            self.left -= len(made.text)
        if self.left < 0:
            return element("p", f"{spec.name}: left out, to keep this file small", class_="soft")
        return self.kept[row, spec.name]

    def _made(self, spec: InputSpec, value: Any) -> Html:
        if value is None:
            return element("p", f"{spec.name}: absent", class_="soft")
        if spec.modality in ("image", "video"):
            return _picture(spec.name, value if spec.modality == "image" else value.frames[0])
        if spec.modality == "audio":
            return _sound(spec.name, value)
        if spec.modality == "text":
            return element("blockquote", value if len(value) <= LETTERS else value[: LETTERS - 1] + "…")
        if spec.modality == "table":
            return _cells(value)
        return _readings(spec, value)


def _picture(name: str, pixels: np.ndarray) -> Html:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    wide = max(1.0, SMALL / max(image.size))
    width, height = round(wide * image.width), round(wide * image.height)
    return element("img", src=_uri("image/jpeg", file), alt=name, width=width, height=height)


def _sound(name: str, samples: np.ndarray) -> Html:
    file, samples = io.BytesIO(), samples[: RATE * SECONDS].astype(np.float32)
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=RATE)
        stream.bit_rate, stream.codec_context.layout = BITS, "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return element("audio", controls=True, preload="none", src=_uri("audio/mpeg", file), aria_label=name)


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _cells(row: dict[str, Any]) -> Html:
    parts = []
    for name, value in list(row.items())[:CELLS]:
        said = "absent" if value is None else format_number(value) if isinstance(value, float) else str(value)
        parts += [element("dt", name), element("dd", said)]
    if len(row) > CELLS:
        parts += [element("dt", "…"), element("dd", f"{len(row) - CELLS} more")]
    return element("dl", *parts)


def _readings(spec: InputSpec, value: Any) -> Html:
    """A series as lines, a set of points as dots, without axes."""
    if spec.modality == "series":
        x, columns = np.asarray(value.times, float), np.asarray(value.values, float).T[:5]
        drawn = [_polyline(x, column, index) for index, column in enumerate(columns)]
    else:
        spots = value[np.linspace(0, len(value) - 1, min(len(value), 400)).astype(int)]
        up = spots[:, 1] if spots.shape[1] > 1 else np.zeros(len(spots))
        path = "".join(f"M{a} {b}h0" for a, b in _placed(spots[:, 0], up))
        drawn = [element("path", d=path, stroke="var(--accent)", stroke_width=4, stroke_linecap="round")]
    said = f"{spec.name}: {spec.modality}"
    return element("svg", element("title", said), *drawn, viewBox=f"0 0 {WIDTH} 120", role="img", aria_label=said)


def _polyline(x: np.ndarray, y: np.ndarray, index: int) -> Html:
    known = np.flatnonzero(np.isfinite(y))
    known = known[np.linspace(0, len(known) - 1, min(len(known), 200)).astype(int)] if len(known) else known
    points = " ".join(f"{a},{b}" for a, b in _placed(x[known], y[known]))
    return element("polyline", points=points, class_=f"c{index % 5 + 1}")


def _placed(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Coordinates within the small picture of `_readings`."""
    scaled = [
        (one - one.min()) / (float(np.ptp(one)) or 1.0) * size + 4
        for one, size in ((x, WIDTH - 8), (-y, 112))
        if len(one)
    ]
    return [(r(a), r(b)) for a, b in zip(*scaled, strict=True)] if scaled else []


def card(title: str, *children: Html) -> Html:
    """One record."""
    return element("li", element("h4", title), joined(*children), class_="card")


def cards(each: list[Html]) -> Html:
    """Records side by side where there is room."""
    return element("ul", *each, class_="cards")
