"""Places that a model writes, in the pixels of their pictures: as JSON, and drawn."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from sensorium.data.media.decoding import decode
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.boxes import SHAPES
from sensorium.data.targets.places import Place
from sensorium.errors import UserError
from sensorium.files import whole_file
from sensorium.inference.rows import ENDINGS_OF_TABLES, Chunks, suffix_of, write_rows

JSON = ".json"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
LINE, LETTER = 1 / 160, 1 / 28  # of a drawing, as shares of the picture's longer side
SMALLEST_LETTER, SMALLEST_DRAWING = 10, 256  # pixels; a smaller picture is enlarged
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324", "#800000", "#000075")


class PlacesOut:
    """Where the places of the target `spec` of a table's records go: a file of rows, or of JSON; and drawings.

    out: a file, or None. draw: a picture for one record, else a folder. least: of a place's confidence; a less sure one
    is left out. Raises UserError for a file of an unknown kind, and a `least` that is no confidence.
    """

    def __init__(self, spec: TargetSpec, out: str | Path | None, draw: str | Path | None, least: float, table: Table):
        if not 0 <= least <= 1:
            raise UserError(f"least is {least}; places have a confidence from 0 to 1, so state such a number.")
        if out is not None:
            suffix_of(out, (*ENDINGS_OF_TABLES, JSON))
        check_drawing(draw, table, spec.picture)
        self.spec, self.draw, self.least = spec, draw, least
        self.cells: dict[str, str] = {}

    def write(self, chunks: Chunks, schema: pa.Schema, path: Path, suffix: str) -> None:
        """See `inference.rows.WriteRows`."""
        chunks = self._sure_enough(chunks)
        write_json(chunks, self.spec.name, path) if suffix == JSON else write_rows(chunks, schema, path, suffix)

    def filtered(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A data frame of predictions with the places that are sure enough."""
        (rows,) = self._sure_enough([frame.to_dict("records")])
        return frame.assign(**{self.spec.name: [row[self.spec.name] for row in rows]})

    def draw_all(self, table: Table) -> None:
        """Draws the places of every record that was written for, into its picture. Raises UserError."""
        if self.draw is not None:
            entries = {key: json.loads(cell) for key, cell in self.cells.items()}
            draw_records(table, self.spec.picture, self.draw, entries)

    def _sure_enough(self, chunks: Chunks) -> Iterator[list[dict[str, Any]]]:
        """The rows with the places that are sure enough, each of which is noted for its drawing."""
        for chunk in chunks:
            for row in chunk:
                cell = row[self.spec.name]
                if not isinstance(cell, str):  # the picture is absent
                    continue
                if self.least > 0:
                    sure = [entry for entry in json.loads(cell) if confidence_of(entry) >= self.least]
                    cell = row[self.spec.name] = json.dumps(sure, ensure_ascii=False)
                if self.draw is not None:
                    self.cells[row["key"]] = cell
            yield chunk


def check_drawing(draw: str | Path | None, table: Table, picture: str) -> None:
    """Checks that `draw` can hold the drawings of a table's records, and that none of them takes the place of a picture
    that is read, of the input `picture`. Raises UserError."""
    if draw is None:
        return
    draw = Path(draw)
    if draw.suffix:
        suffix_of(Path(str(draw).lower()), PICTURES, "--draw")
        if len(table) != 1:
            raise UserError(
                f"{draw.suffix} has room for one picture, and there are {len(table):,}; name a folder for --draw."
            )
    elif draw.exists() and not draw.is_dir():
        raise UserError(f"{draw} is a file; name a folder for --draw.")
    spec = next(spec for spec in table.schema.inputs if spec.name == picture)
    values = (table.value(row, spec) for row in range(len(table)))
    pictures = {(Path(table.root) / value).resolve() for value in values if isinstance(value, str)}
    if draw.resolve() in (pictures if draw.suffix else {path.parent for path in pictures}):
        raise UserError(
            f"Drawings in {draw} may take the place of the pictures that are read; name another for --draw."
        )


def draw_records(table: Table, picture: str, draw: str | Path, entries: dict[str, list[dict[str, Any]]]) -> None:
    """Draws `entries`, the written places of records by key, into their pictures, the input `picture`."""
    spec = next(spec for spec in table.schema.inputs if spec.name == picture)
    paths = drawing_paths(Path(draw), list(entries))
    for row, key in enumerate(table.keys):
        if key in entries:
            drawn = draw_places(decode(spec.decoder, table.value(row, spec), table.root), entries[key])
            with whole_file(paths[key]) as new:
                drawn.save(new, format=Image.registered_extensions()[paths[key].suffix.lower()])


def confidence_of(entry: dict[str, Any]) -> float:
    """How sure a written place is: see `Place.confidence`."""
    return Place("", (), entry["score"], entry["label_score"]).confidence


def write_json(chunks: Chunks, target: str, path: Path) -> None:
    """A JSON list of {key, width, height, boxes}, a line a record, from rows with a target's cells."""
    with open(path, "w", encoding="utf-8") as file:
        before = "["
        for row in (row for chunk in chunks for row in chunk):
            width, height = row[f"{target}_size"] or (None, None)
            record = {"key": row["key"], "width": width, "height": height, "boxes": json.loads(row[target] or "[]")}
            file.write(f"{before}\n{json.dumps(record, ensure_ascii=False)}")
            before = ","
        file.write("[]\n" if before == "[" else "\n]\n")


def drawing_paths(out: Path, keys: Sequence[str]) -> dict[str, Path]:
    """By key of a record, the file of its drawing: `out`, or one in that folder with the name of its picture."""
    if out.suffix:
        return dict.fromkeys(keys, out)
    out.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    taken: set[str] = set()
    for key in keys:
        stem = re.sub(r"[^\w.-]+", "_", Path(key).stem) or "picture"
        name = next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, len(keys) + 2))) if name not in taken)
        taken.add(name)
        paths[key] = out / f"{name}.png"
    return paths


def draw_places(
    pixels: np.ndarray, entries: Sequence[dict[str, Any]], true: Sequence[dict[str, Any]] = ()
) -> Image.Image:
    """A picture, uint8 [H, W, 3], with the outline, the label and the confidence of each written place, in the pixels
    of the picture, and `true` ones in white. A label has the same colour in every picture; one smaller than 256 pixels
    is drawn enlarged.
    """
    picture = Image.fromarray(pixels)
    scale = max(1, -(-SMALLEST_DRAWING // max(picture.size)))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.LANCZOS)
    pen, side = ImageDraw.Draw(picture), max(picture.size)
    font = ImageFont.load_default(max(SMALLEST_LETTER, round(LETTER * side)))
    width = max(2, round(LINE * side))
    for entry in true:
        corners = _corners(entry, scale)
        pen.line([*corners, corners[0]], fill="black", width=2 * width)
        pen.line([*corners, corners[0]], fill="white", width=width)
    for entry in entries:
        colour, corners = colour_of(entry["label"]), _corners(entry, scale)
        pen.line([*corners, corners[0]], fill=colour, width=width, joint="curve")
        text = f"{entry['label']} {confidence_of(entry):.2f}".strip()
        left, top = min(x for x, _ in corners), min(y for _, y in corners)
        box = pen.textbbox((left, top), text, font, anchor="lb")
        if box[1] < 0:  # no room above
            box = pen.textbbox((left, top), text, font, anchor="lt")
        pen.rectangle(box, fill=colour)
        pen.text(box[:2], text, "white", font, anchor="lt")
    return picture


def _corners(entry: dict[str, Any], scale: int) -> list[tuple[float, float]]:
    """The corners of a written place in an enlarged picture."""
    points = np.asarray(next(entry[shape] for shape in SHAPES if shape in entry), dtype=float) * scale
    points = points[[0, 1, 2, 1, 2, 3, 0, 3]] if len(points) == SHAPES["box"] else points
    return [*map(tuple, points.reshape(-1, 2).tolist())]


def colour_of(label: str) -> str:
    """The colour of a label."""
    return COLOURS[crc32(label.encode()) % len(COLOURS)]
