"""A recording as the spans that a model reads one at a time, cut where it is quietest."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

FRAME = 0.02  # seconds whose loudness is one number
PAUSE = 0.4  # seconds: a cut is in the middle of the quietest so many
SILENT = 1e-4  # of full scale: a span without a louder sample is not read


class Span(NamedTuple):
    """`samples`, float32 [S], that begin `start` seconds from the beginning of a recording; `number` counts spans."""

    samples: np.ndarray
    start: float
    number: int


def cut_spans(pieces: Iterable[np.ndarray], rate: int, longest: float) -> Iterator[Span]:
    """The spans of a recording that comes in `pieces`, float32 [S]: no sample is lost, none is in two spans.

    Each has at most `longest` seconds; one that is cut has at least half of that. What follows is not looked at, so
    that it is the same whatever comes with it.
    """
    most, start, number = round(longest * rate), 0, 0
    buffer = np.zeros(0, np.float32)
    for piece in pieces:
        buffer = np.concatenate([buffer, piece])
        while len(buffer) > most:
            cut = quietest(buffer[:most], rate, most // 2)
            yield Span(buffer[:cut], start / rate, number)
            buffer, start, number = buffer[cut:], start + cut, number + 1
    if len(buffer):
        yield Span(buffer, start / rate, number)


def quietest(samples: np.ndarray, rate: int, first: int) -> int:
    """Where the quietest PAUSE of `samples`, float32 [S], from `first` on has its middle; the last of equal ones."""
    frame, frames = round(FRAME * rate), round(PAUSE / FRAME)
    considered = samples[first:]
    considered = considered[: len(considered) // frame * frame].reshape(-1, frame)
    power = np.concatenate([[0.0], np.square(considered, dtype=np.float64).mean(axis=1).cumsum()])
    loudness = (power[frames:] - power[:-frames]) / frames  # of each run of frames
    # Rounded, so that sums of equal silences are equal.
    last = len(loudness) - 1 - int(np.argmin(np.round(loudness[::-1], 9)))
    return first + (last + frames // 2) * frame
