"""Corrupted sounds, float32 [S] between -1 and 1: noise, gaps."""

import numpy as np

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption, plain, shares

PIECES = 20  # of a sound, each silenced or left


def audio_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """White noise, silenced pieces."""
    return [
        Corruption("noise", "decibels that the sound is louder", plain(20, 10, 5, 0, -5), _add_noise),
        Corruption("gaps", "share silenced", shares(0.1, 0.2, 0.4, 0.6, 0.8), _silence_pieces),
    ]


def _add_noise(sound: np.ndarray, decibels: float, generator: np.random.Generator) -> np.ndarray:
    power = float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
    noise = generator.standard_normal(len(sound)) * power * 10 ** (-decibels / 20)
    return (sound + noise).clip(-1, 1).astype(np.float32)


def _silence_pieces(sound: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    pieces = np.array_split(np.arange(len(sound)), PIECES)
    silenced = sound.copy()
    for index in generator.permutation(PIECES)[: round(PIECES * strength)]:
        silenced[pieces[index]] = 0
    return silenced
