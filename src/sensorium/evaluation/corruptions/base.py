"""A corruption, the processor that applies it, and what several kinds of input share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.media.content import content_id
from sensorium.data.records import Processor

Strengths = tuple[tuple[str, float], ...]
"""Each strength as a reader reads it, and as a number."""


class Corruption(NamedTuple):
    """A way of corrupting a decoded value.

    unit: what its strengths are measured in; `strengths`: five of them, as a reader reads them and as `spoil` takes
    them: (value, strength, generator) -> the corrupted value.
    """

    name: str
    unit: str
    strengths: Strengths
    spoil: Callable[[Any, float, np.random.Generator], Any]


class Corrupted:
    """A processor whose values are corrupted first. Chance is a function of the value, the same at every strength."""

    def __init__(self, processor: Processor, corruption: Corruption, strength: float):
        self.processor, self.corruption, self.strength = processor, corruption, strength
        self.decoding, self.pad = processor.decoding, processor.pad

    def __call__(self, value: Any, augment: bool = False) -> dict[str, Any]:
        """The tensors of the corrupted `value`."""
        generator = np.random.default_rng([abs(content_id(value)), len(self.corruption.name)])
        return self.processor(self.corruption.spoil(value, self.strength, generator), augment)


def shares(*strengths: float) -> Strengths:
    """Strengths that a reader reads as percentages."""
    return tuple((f"{strength:.0%}", strength) for strength in strengths)


def plain(*strengths: float) -> Strengths:
    """Strengths that a reader reads as they are."""
    return tuple((f"{strength:g}", strength) for strength in strengths)


def draw_remaining(count: int, strength: float, generator: np.random.Generator) -> np.ndarray:
    """bool [count]: which of `count` readings or points remain when each is lost with the chance `strength`; at least
    one does.
    """
    remaining = generator.random(count) >= strength
    remaining[generator.integers(count)] = True
    return remaining
