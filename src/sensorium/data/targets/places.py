"""Places in a picture: boxes, quads and polygons with labels, as a decoder's location tokens and back."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tokenizers import Tokenizer

_LOCATION = re.compile(r"<loc_(\d+)>")
BOX, QUAD, SHORTEST_POLYGON = 4, 8, 6
POLYGONS = "<poly>"  # begins the polygons of a label
_SEPARATORS = (POLYGONS, "</poly>", "<sep>")


class Place(NamedTuple):
    """An object in a picture.

    points: x0, y0, x1, y1 of a box, x, y, x, y, ... of a quad (8 numbers) or a polygon, as shares of the picture's
    width and height. score, label_score: how sure the points and the label are, 1 where that is not known.
    """

    label: str
    points: tuple[float, ...]
    score: float = 1.0
    label_score: float = 1.0

    @property
    def shape(self) -> str:
        """What the points are: "box", "quad" or "polygon"."""
        return {BOX: "box", QUAD: "quad"}.get(len(self.points), "polygon")

    @property
    def confidence(self) -> float:
        """How sure the place is, by which places are ranked: the geometric mean of the two scores."""
        return math.sqrt(self.score * self.label_score)

    @property
    def corners(self) -> tuple[float, ...]:
        """The points; of a box its four corners, x, y, x, y, ..."""
        if len(self.points) != BOX:
            return self.points
        left, top, right, bottom = self.points
        return left, top, right, top, right, bottom, left, bottom

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 around the points."""
        x, y = self.points[0::2], self.points[1::2]
        return min(x), min(y), max(x), max(y)


def location_tokens(bins: int) -> list[str]:
    """The tokens that places are written with, `<loc_0>` to `<loc_{bins-1}>`."""
    return [f"<loc_{number}>" for number in range(bins)]


def count_locations(tokenizer: Tokenizer) -> int:
    """How many location tokens a tokenizer has: the bins of its places."""
    return next(number for number in itertools.count() if tokenizer.token_to_id(f"<loc_{number}>") is None)


def spell_places(places: Iterable[Place], bins: int) -> str:
    """Each place's label and then its location tokens, one place after another (Xiao et al. 2023, arXiv:2311.06242)."""
    return "".join(
        place.label + "".join(f"<loc_{min(max(math.floor(share * bins), 0), bins - 1)}>" for share in place.points)
        for place in places
    )


def read_places(
    pieces: Sequence[str],
    logprobs: Sequence[float],
    bins: int,
    spell: Callable[[list[str]], str] = "".join,
    length: int | None = None,
) -> tuple[list[Place], int]:
    """The places that a decoder's tokens say, and how many of them are malformed and left out: without locations, with
    too few or too many of them, or with corners in the wrong order.

    pieces, logprobs: each token as its tokenizer has it, and its log-probability. spell: the text of a label's pieces;
    a tokenizer's `decoder.decode`. length: how many locations a place has; several places may then share a label. None:
    all that stand together are one place. Scores are geometric means of probabilities: that of a place of its location
    tokens, that of a label of its own tokens.
    """
    places, malformed = [], 0
    for label_pieces, label_logprobs, locations, location_logprobs in _stretches(pieces, logprobs):
        label = spell(label_pieces).strip()
        step = length or len(locations)
        if not step:
            malformed += bool(label)
            continue
        for first in range(0, len(locations), step):
            points = _middles(locations[first : first + step], bins)
            if not _is_shape(points) or max(locations) >= bins or length not in (None, len(points)):
                malformed += 1
                continue
            score = _geometric_mean(location_logprobs[first : first + step])
            places.append(Place(label, points, score, _geometric_mean(label_logprobs)))
    return places, malformed


def read_polygons(
    pieces: Sequence[str], logprobs: Sequence[float], bins: int, spell: Callable[[list[str]], str] = "".join
) -> tuple[list[Place], int]:
    """The polygons that a decoder's tokens say, `<sep>` between those of one label, and how many are malformed and left
    out. The last of an odd number of locations is left out, as Florence-2 does. See `read_places`."""
    polygons, malformed, label, label_score = [], 0, "", 1.0
    for label_pieces, label_logprobs, locations, location_logprobs in _stretches(pieces, logprobs):
        if any(piece not in _SEPARATORS for piece in label_pieces):
            words = [pair for pair in zip(label_pieces, label_logprobs, strict=True) if pair[0] not in _SEPARATORS]
            label = spell([piece for piece, _ in words]).strip()
            label_score = _geometric_mean([logprob for _, logprob in words])
        even = len(locations) // 2 * 2
        if even < SHORTEST_POLYGON or max(locations) >= bins:
            malformed += bool(locations)
            continue
        points = _middles(locations[:even], bins)
        polygons.append(Place(label, points, _geometric_mean(location_logprobs), label_score))
    return polygons, malformed


def relative_points(points: Iterable[float], size: tuple[int, int]) -> tuple[float, ...]:
    """Points in pixels as shares of the picture's `size`, its width and height."""
    return tuple(value / size[number % 2] for number, value in enumerate(points))


def pixel_points(points: Iterable[float], size: tuple[int, int]) -> list[float]:
    """The reverse of `relative_points`, to hundredths of a pixel."""
    return [round(share * size[number % 2], 2) for number, share in enumerate(points)]


def place_record(place: Place, size: tuple[int, int]) -> dict[str, Any]:
    """A place as it is written for a user, in pixels of a picture of `size`: its label, its box (quad, polygon) and its
    scores."""
    points = pixel_points(place.points, size)
    return {
        "label": place.label,
        place.shape: points,
        "score": round(place.score, 4),
        "label_score": round(place.label_score, 4),
    }


def _stretches(
    pieces: Sequence[str], logprobs: Sequence[float]
) -> list[tuple[list[str], list[float], list[int], list[float]]]:
    """A label's pieces and their log-probabilities, then the locations after it and theirs; as often as there are."""
    stretches: list[tuple[list[str], list[float], list[int], list[float]]] = []
    for piece, logprob in zip(pieces, logprobs, strict=True):
        location = _LOCATION.fullmatch(piece)
        if not stretches or (location is None and stretches[-1][2]):
            stretches.append(([], [], [], []))
        label_pieces, label_logprobs, locations, location_logprobs = stretches[-1]
        if location is None:
            label_pieces.append(piece)
            label_logprobs.append(logprob)
        else:
            locations.append(int(location[1]))
            location_logprobs.append(logprob)
    return stretches


def _middles(locations: Sequence[int], bins: int) -> tuple[float, ...]:
    """The middles of bins; a box whose corners lie in one bin spans that bin."""
    points = [(number + 0.5) / bins for number in locations]
    if len(points) == BOX:
        for axis in range(2):
            if locations[axis] == locations[axis + 2]:
                points[axis], points[axis + 2] = (locations[axis] / bins, (locations[axis] + 1) / bins)
    return tuple(points)


def _is_shape(points: tuple[float, ...]) -> bool:
    """Whether points are a box whose corners are in order, or a quad or polygon."""
    if len(points) == BOX:
        return points[0] <= points[2] and points[1] <= points[3]
    return len(points) >= SHORTEST_POLYGON and len(points) % 2 == 0


def is_flat(place: Place) -> bool:
    """Whether a place has no width or no height."""
    left, top, right, bottom = place.box
    return left >= right or top >= bottom


def _geometric_mean(logprobs: Sequence[float]) -> float:
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else 1.0
