"""What was said in a recording: its text, and segments with times, of what a decoder of Whisper wrote of its spans."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sensorium.generation.timestamps import SECONDS_A_STEP

NEAR = 2.0  # seconds
# Letters that make words without blanks between them, each of which counts as a word: Thai, Lao, Burmese, Khmer,
# Japanese and Chinese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"


class Word(NamedTuple):
    """A word and when it is said, in seconds."""

    word: str
    start: float
    end: float


@dataclass
class Segment:
    """A stretch of a recording: its text, and when it is said, in seconds. channel: from 1, of a recording whose
    channels are written apart."""

    start: float
    end: float
    text: str
    channel: int | None = None
    words: list[Word] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, in milliseconds of seconds."""
        facts: dict[str, Any] = {"start": round(self.start, 3), "end": round(self.end, 3), "text": self.text}
        if self.channel is not None:
            facts["channel"] = self.channel
        if self.words is not None:
            facts["words"] = [
                {"word": word, "start": round(start, 3), "end": round(end, 3)} for word, start, end in self.words
            ]
        return facts


def likeliest(languages: dict[str, float]) -> str | None:
    """The code of the likeliest language; None of none."""
    return max(languages, key=languages.get, default=None)


def repeats(segment: Segment, written: Iterable[Segment]) -> bool:
    """Whether the words of a segment are the last of one `written` that ends where it starts, or the first of one that
    starts where it ends: the times of segments are not exact, so that a sound between two may be of either.
    """
    words = _words(segment)
    for near in written:
        if abs(near.end - segment.start) < NEAR and _words(near)[-len(words) :] == words:
            return True
        if abs(near.start - segment.end) < NEAR and _words(near)[: len(words)] == words:
            return True
    return not words


def _words(segment: Segment) -> list[str]:
    return re.findall(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+", segment.text.lower())


@dataclass
class Transcript:
    """A recording's segments, in time. logprob: of all that was written of its spans. languages: by code, the
    probability of each.
    """

    segments: list[Segment] = field(default_factory=list)
    logprob: float = 0.0
    languages: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def language(self) -> str | None:
        """The likeliest, or the stated one; None of an English model."""
        return likeliest(self.languages)

    @property
    def text(self) -> str:
        """All of it; of channels that are written apart, a line for each turn."""
        lines: list[tuple[int | None, list[str]]] = []
        for segment in self.segments:
            if not lines or lines[-1][0] != segment.channel:
                lines.append((segment.channel, []))
            lines[-1][1].append(segment.text)
        turns = ((f"Channel {channel}: " if channel else "") + " ".join(texts) for channel, texts in lines)
        return "\n".join(turns)


class Stretch(NamedTuple):
    """Tokens of a text between two timestamps, in seconds from the beginning of a span."""

    start: float
    end: float
    tokens: list[int]


def stretches(tokens: Sequence[int], first_stamp: int, seconds: float) -> list[Stretch]:
    """The texts between the timestamps, the tokens from `first_stamp` on, of a span of `seconds`. A text after the last
    timestamp reaches to the end of the span.
    """
    between: list[Stretch] = []
    start, texts = 0.0, []
    for token in tokens:
        if token < first_stamp:
            texts.append(token)
            continue
        time = min(round((token - first_stamp) * SECONDS_A_STEP, 2), seconds)
        if texts:
            between.append(Stretch(start, max(start, time), texts))
        start, texts = time, []
    if texts:
        between.append(Stretch(min(start, seconds), seconds, texts))
    return between
