"""What a transcription is asked for, what there is to read, and what was heard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from sensorium.features import Features
from sensorium.inference.spans import Span
from sensorium.inference.transcript import Segment, repeats

# When a text is taken for wrong, or for silence (Radford et al. 2023, arXiv:2212.04356, section 4.5).
LEAST_LOGPROB, NO_SPEECH = -1.0, 0.6


class Request(NamedTuple):
    """What is asked for. language: a code or an English name; None: that of each recording is detected. task: None for
    the model's own. split: write each channel apart."""

    language: str | None = None
    task: str | None = None
    timestamps: bool = False
    words: bool = False
    split: bool = False

    @property
    def timed(self) -> bool:
        """Whether segments are asked for."""
        return self.timestamps or self.words or self.split


class Heard(NamedTuple):
    """What was written of a span: its tokens, the logarithm of their probability, that of no speech, whether the text
    loops, and by code the probability of each language."""

    tokens: list[int]
    logprob: float
    no_speech: float
    loops: bool
    languages: dict[str, float]

    @property
    def mean_logprob(self) -> float:
        """Of a token, the end among them."""
        return self.logprob / (len(self.tokens) + 1)

    @property
    def silent(self) -> bool:
        """Whether nothing is said."""
        return self.no_speech > NO_SPEECH and self.mean_logprob < LEAST_LOGPROB

    @property
    def doubtful(self) -> bool:
        """Whether it is likely to be wrong."""
        return not self.silent and (self.loops or self.mean_logprob < LEAST_LOGPROB)

    def better(self, again: "Heard") -> "Heard":
        """This one or what was written `again`."""
        return max(self, again, key=lambda heard: (not heard.doubtful, not heard.loops, heard.mean_logprob))


@dataclass(eq=False)
class Stream:
    """The spans of a recording, or of one of its channels. languages: by code, the probability of each, None until a
    span in which something is said; segments, logprobs: of the text of each span, by its start and whether it was read
    before; streamed: the segments that were told while others are read; channels: as how many streams its recording is
    read."""

    row: int
    key: str
    channel: int | None
    languages: dict[str, float] | None
    spans: Iterator[Span]
    segments: dict[tuple[float, bool], list[Segment]] = field(default_factory=dict)
    logprobs: dict[tuple[float, bool], float] = field(default_factory=dict)
    streamed: list[Segment] = field(default_factory=list)
    seconds: float = 0.0
    channels: int = 1

    def new_segments(self, span_key: tuple[float, bool], written: Sequence[Segment]) -> list[Segment]:
        """The segments of a span; of one that was read before, those that do not repeat what is `written`."""
        _, again = span_key
        return [segment for segment in self.segments[span_key] if not (again and repeats(segment, written))]


class Job(NamedTuple):
    """A span that is to be read."""

    stream: Stream
    span: Span

    @property
    def place(self) -> tuple[float, bool]:
        """Where its segments are in the stream."""
        return self.span.start, self.span.again


class Begun:
    """A decoder that has read what comes before a text."""

    def __init__(self, head: Any, logits: Tensor, state: Any):
        self.special, self.context, self.step = head.special, head.context, head.step
        self.first = logits, state

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, Any]:
        """See `generation.decoder.Decoder`."""
        return self.first
