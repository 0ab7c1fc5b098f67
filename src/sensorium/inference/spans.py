"""A recording as the spans that a model reads one at a time, cut where it is quietest."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

FRAME = 0.02  # seconds whose loudness is one number
PAUSE = 0.4  # seconds: a cut is in the middle of the quietest so many
LEAST = 1.0  # seconds: half of a span has room for more than one pause
LISTENED, SHORT, QUIETER = 0.2, 1.5, 0.01  # seconds of a sound, of a gap that is let be; power of silence, as a share
SILENT = 1e-4  # of full scale: a span without a louder sample is not read


class Span(NamedTuple):
    """`samples`, float32 [S], that begin `start` seconds from the beginning of a recording. again: whether they are a
    part of a span that was read."""

    samples: np.ndarray
    start: float
    again: bool = False


def cut_spans(pieces: Iterable[np.ndarray], rate: int, longest: float) -> Iterator[Span]:
    """The spans of a recording that comes in `pieces`, float32 [S]: no sample is lost, none is in two spans.

    Each has at most `longest` seconds, but no fewer than LEAST; one that is cut has at least half of that.
    What follows is not looked at, so that it is the same whatever comes with it.
    """
    most, start = round(max(longest, LEAST) * rate), 0
    buffer = np.zeros(0, np.float32)
    for piece in pieces:
        buffer = np.concatenate([buffer, piece])
        while len(buffer) > most:
            cut = quietest(buffer[:most], rate, most // 2)
            yield Span(buffer[:cut], start / rate)
            buffer, start = buffer[cut:], start + cut
    if len(buffer):
        yield Span(buffer, start / rate)


def quietest(samples: np.ndarray, rate: int, first: int) -> int:
    """Where the quietest PAUSE of `samples`, float32 [S], from `first` on has its middle; the last of equal ones."""
    power = _power(samples[first:], rate, PAUSE)
    last = len(power) - 1 - int(np.argmin(power[::-1]))
    return first + round((last * FRAME + PAUSE / 2) * rate)


def unread(span: Span, rate: int, texts: Sequence[tuple[float, float]]) -> list[Span]:
    """The parts of a span between its `texts`, their first and last seconds in order, that are neither short nor much
    quieter than the rest: a model may leave out what is said in them. None of a span without texts, or of such a part.
    """
    power = _power(span.samples, rate, LISTENED)
    if not len(power) or not texts or span.again:
        return []
    quiet = QUIETER * np.quantile(power, 0.9)
    seconds, gaps = len(span.samples) / rate, []
    for start, end in zip([0.0, *(end for _, end in texts)], [*(start for start, _ in texts), seconds], strict=True):
        frames = power[round(start / FRAME) : max(0, round((end - LISTENED) / FRAME))]
        if end - start >= SHORT and len(frames) and frames.max() > quiet:
            gaps.append(Span(span.samples[round(start * rate) : round(end * rate)], span.start + start, again=True))
    return gaps


def _power(samples: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """float64 [N]: the mean square of each run of so many `seconds`, a FRAME apart; rounded, so that silences of equal
    loudness have the same."""
    frame, frames = round(FRAME * rate), round(seconds / FRAME)
    squares = np.square(samples[: len(samples) // frame * frame], dtype=np.float64).reshape(-1, frame).mean(axis=1)
    sums = np.concatenate([[0.0], squares.cumsum()])
    return np.round((sums[frames:] - sums[:-frames]) / frames, 9)
