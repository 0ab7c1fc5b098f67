"""A target that is a list of places in a picture: boxes, quads and polygons with labels, which a model writes."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import CellFormat, WrongCell, convert_cells, is_missing
from sensorium.data.schema import TargetSpec
from sensorium.data.targets.base import RecordCells, TargetColumn
from sensorium.data.targets.places import (
    BOX,
    QUAD,
    SHORTEST_POLYGON,
    Place,
    count_locations,
    is_flat,
    relative_points,
    spell_places,
)
from sensorium.data.targets.text import TextColumn, hash_texts
from sensorium.data.targets.tokens import Tokens

SHAPES = {"box": BOX, "quad": QUAD, "polygon": None}
"""What a cell may have beside a label, and how many numbers each has."""
Move = Callable[[int, Sequence[float]], Sequence[float]]
"""A row and points x, y, x, y, ... in its picture -> where they are in the picture as training changes it."""


class BoxesTarget:
    """Lists of places: cells are lists of `Place`, in pixels as they are parsed, relative to the picture after
    `relate`; tensors are those of the text that spells them. about: what kind of input the places are in.
    """

    scored_by = "loss"
    default_head = "places"
    single_label = False
    repeats_inputs = False
    takes_text = False
    answers_questions = False
    distilled_by = None
    about = "image"

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """Lists of places, all of them, of which some are not empty."""
        present = values[~is_missing(values)]
        cells, wrong = BoxesTarget.convert(present)
        count = sum(len(cell) for cell in cells if cell is not None)
        return Guess("boxes", f"lists of {count} boxes") if count and not wrong else None

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """Lists of places, in pixels."""
        return convert_cells(values, CellFormat(parse_places, frozenset()))

    @staticmethod
    def relate(
        cells: np.ndarray, size_of: Callable[[int], tuple[int, int] | None]
    ) -> tuple[np.ndarray, list[WrongCell], int]:
        """Places in pixels [N] as shares of their pictures' width and height, those that a picture wholly lacks, and
        how many reach beyond it and are cut there. size_of: a row's picture -> its width and height; None where it is
        absent or cannot be read, and so are its places then.
        """
        related, wrong, cut = np.full(len(cells), None, dtype=object), [], 0
        for row in np.flatnonzero(~is_missing(cells)):
            size = size_of(row)
            if size is None:
                continue
            places = [place._replace(points=relative_points(place.points, size)) for place in cells[row]]
            inside = [place._replace(points=tuple(min(max(x, 0.0), 1.0) for x in place.points)) for place in places]
            related[row] = inside
            cut += sum(place != clipped and not is_flat(clipped) for place, clipped in zip(places, inside, strict=True))
            outside = next((number for number, place in enumerate(inside) if is_flat(place)), None)
            if outside is not None:
                place = cells[row][outside]
                reason = f"the {place.shape} of '{place.label}' lies outside its picture of {size[0]} x {size[1]}"
                wrong.append((int(row), reason))
        return related, wrong, cut

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """None: labels are written, and may be new."""
        return {}

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """The only list there is."""
        lists = {tuple(cell) for cell in cells[~is_missing(cells)]}
        return f"the list of places {dump_places(next(iter(lists)))!r:.60}" if len(lists) == 1 else None

    @staticmethod
    def examples(cells: np.ndarray) -> list[list[Place]]:
        """The lists that a head learns its tokenizer from."""
        return [list(cell) for cell in cells if cell is not None]

    @staticmethod
    def column(cells: np.ndarray, labels: list[str], processor: Tokens | None = None) -> TargetColumn:
        """The lazy column of tokens; without a processor `ids` int64 [B], a hash of each record's places."""
        return BoxesColumn(cells, processor)

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """Nothing: a head learns its tokenizer from the places themselves."""
        return {}

    @staticmethod
    def fit(spec: TargetSpec, records: RecordCells, unscored: RecordCells, inherit: bool) -> TargetSpec:
        """What is said without a look at the picture: of each label in the records that are not scored its median box,
        the commonest first, each with the share of pictures that have it as its score.
        """
        cells = unscored.cells(spec.name, spec.kind)
        lists = [cell for cell in cells if cell is not None]
        boxes: dict[str, list[tuple[float, ...]]] = {}
        for place in (place for places in lists for place in places):
            boxes.setdefault(place.label, []).append(place.box)
        usual = [
            Place(label, tuple(map(median, zip(*of_label, strict=True))), min(1.0, len(of_label) / len(lists)))
            for label, of_label in sorted(boxes.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        ]
        return spec.model_copy(update={"commonest": dump_places(usual, scores=True)})


class BoxesColumn:
    """Places of N records, spelled and made tokens when a batch asks for them, as TextColumn gives them.

    With a processor also `boxes` float32 [B, M, 4], x0, y0, x1, y1 around each place as shares of the picture, and
    `labels` int64 [B, M], which label it has, as `hash_texts` tells them apart; zeros where a record has fewer.
    """

    decodes = False

    def __init__(self, cells: np.ndarray, processor: Tokens | None):
        self.cells, self.processor = cells, processor
        self.bins = 0 if processor is None else count_locations(processor.tokenizer)

    def __call__(self, rows: np.ndarray) -> dict[str, Tensor]:
        """As TargetColumn says."""
        return self._encode([self.cells[row] for row in rows])

    def moved(self, rows: np.ndarray, move: Move) -> dict[str, Tensor]:
        """The same of pictures that training has changed; places that are not in them any more are left out."""
        return self._encode([self.cells[row] and move_places(self.cells[row], partial(move, int(row))) for row in rows])

    def _encode(self, lists: list[list[Place] | None]) -> dict[str, Tensor]:
        if self.processor is None:
            return self._tokens([None if places is None else [dump_places(places)] for places in lists])
        texts = [None if places is None else [spell_places(in_order(places), self.bins)] for places in lists]
        return self._tokens(texts) | self._places([places or [] for places in lists])

    def _tokens(self, texts: list[list[str] | None]) -> dict[str, Tensor]:
        return TextColumn(np.fromiter(texts, dtype=object, count=len(texts)), self.processor)(np.arange(len(texts)))

    def _places(self, lists: list[list[Place]]) -> dict[str, Tensor]:
        most = max([1, *map(len, lists)])
        boxes, labels = torch.zeros(len(lists), most, 4), torch.zeros(len(lists), most, dtype=torch.int64)
        for row, places in enumerate(lists):
            if places:
                boxes[row, : len(places)] = torch.tensor([place.box for place in places])
                labels[row, : len(places)] = torch.tensor([hash_texts([place.label]) for place in places])
        return {"boxes": boxes, "labels": labels}


def in_order(places: Sequence[Place]) -> list[Place]:
    """Places in the order in which a model learns to write them: from left to right, by their left edges."""
    return sorted(places, key=lambda place: (place.box, place.label))


def move_places(places: Sequence[Place], move: Callable[[Sequence[float]], Sequence[float]]) -> list[Place]:
    """Places after `move` has moved all their points, cut at the edges of the picture; those beyond are left out. A box
    is the one around its corners then.
    """
    corners = [place.corners for place in places]
    shares = [min(max(share, 0.0), 1.0) for share in move([share for points in corners for share in points])]
    ends = np.cumsum([len(points) for points in corners]).tolist()
    moved = [
        place._replace(points=tuple(shares[end - len(points) : end]))
        for place, points, end in zip(places, corners, ends, strict=True)
    ]
    pairs = zip(places, moved, strict=True)
    moved = [after._replace(points=after.box) if before.shape == "box" else after for before, after in pairs]
    return [place for place in moved if not is_flat(place)]


def parse_places(value: Any) -> list[Place]:
    """The places of a cell, a list of {"label", "box" | "quad" | "polygon"} or such a list as JSON. Raises ValueError
    that says what is wrong with the first that is none.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('it is no JSON list as [{"label": "cat", "box": [x0, y0, x1, y1]}]') from None
    if not isinstance(value, list | tuple | np.ndarray):
        raise ValueError('it is no list as [{"label": "cat", "box": [x0, y0, x1, y1]}]')
    return [_parse_place(entry) for entry in value]


def _parse_place(entry: Any) -> Place:
    if not isinstance(entry, dict) or not isinstance(entry.get("label"), str) or not entry["label"].strip():
        raise ValueError(f'{entry!r:.60} has no "label"')
    shape = next((name for name in SHAPES if entry.get(name) is not None), None)
    if shape is None:
        raise ValueError(f'{entry!r:.60} has no "box", "quad" or "polygon"')
    label = " ".join(entry["label"].split())
    if "<loc_" in label:
        raise ValueError(f"the label '{label}' spells a location; rename it")
    try:
        points = tuple(np.asarray(entry[shape], dtype=np.float64).ravel().tolist())
    except (TypeError, ValueError, OverflowError):
        points = ()
    fits = len(points) == SHAPES[shape] if SHAPES[shape] else len(points) >= SHORTEST_POLYGON and len(points) % 2 == 0
    if not fits or not np.isfinite(points).all():
        count = SHAPES[shape] or f"{SHORTEST_POLYGON} or more, x and y in turn,"
        raise ValueError(f"the {shape} of '{label}' is {entry[shape]!r:.60}, not {count} numbers")
    place = Place(label, points)
    if shape == "box" and (points[2] <= points[0] or points[3] <= points[1]):
        raise ValueError(f"the box of '{label}' is empty or inverted: {list(points)} is not x0 < x1 and y0 < y1")
    if is_flat(place):
        raise ValueError(f"the {shape} of '{label}' is empty")
    return place


def dump_places(places: Sequence[Place], scores: bool = False) -> str:
    """Places as JSON that `parse_places` and `load_places` read, their points as they are."""
    return json.dumps(
        [
            {"label": place.label, place.shape: place.points}
            | ({"score": place.score, "label_score": place.label_score} if scores else {})
            for place in places
        ],
        ensure_ascii=False,
    )


def load_places(text: str) -> list[Place]:
    """What `dump_places` wrote."""
    return [
        Place(entry["label"], tuple(next(entry[shape] for shape in SHAPES if shape in entry)), *_scores(entry))
        for entry in json.loads(text)
    ]


def _scores(entry: dict[str, Any]) -> tuple[float, float]:
    return entry.get("score", 1.0), entry.get("label_score", 1.0)
