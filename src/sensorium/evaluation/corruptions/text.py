"""Corrupted texts: typing errors, lost words."""

import numpy as np

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption, shares

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def text_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """Letters swapped, dropped or replaced; words dropped."""
    return [
        Corruption("typing errors", "share of letters", shares(0.02, 0.05, 0.1, 0.2, 0.4), _mistype),
        Corruption("lost words", "share of words", shares(0.1, 0.2, 0.4, 0.6, 0.8), _drop_words),
    ]


def _mistype(text: str, strength: float, generator: np.random.Generator) -> str:
    letters = list(text)
    for index in np.flatnonzero(generator.random(len(letters)) < strength):
        error = generator.integers(3)  # 0 swaps with the next letter, 1 drops, 2 replaces
        if error == 0 and index + 1 < len(letters):
            letters[index], letters[index + 1] = letters[index + 1], letters[index]
        elif error == 1 and len(text) > 1:
            letters[index] = ""
        else:
            letters[index] = LETTERS[generator.integers(len(LETTERS))]
    return "".join(letters) or text[:1]


def _drop_words(text: str, strength: float, generator: np.random.Generator) -> str:
    words = text.split()
    remaining = generator.random(len(words)) >= strength
    if words and not remaining.any():
        remaining[generator.integers(len(words))] = True
    return " ".join(word for word, stays in zip(words, remaining, strict=True) if stays)
