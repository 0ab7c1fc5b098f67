"""Sounds to compare: a small picture of each to find candidates by, and the waves themselves to decide."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import signal

from sensorium.data.media import audio
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.inspection.near import SIDE

RATE = 8000
_LOWEST, _HIGHEST = 100.0, 3800.0  # hertz
_WINDOW = 512
_DEEPEST = 30.0  # decibels below the loudest, under which there is mostly noise
_LONGEST = 20 * RATE  # samples of a wave that are compared
_SAME = 0.9  # correlation of a wave with its copy, compressed or with a little noise
_KEPT = 64  # decoded waves


def small_sound(samples: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 1] of a sound [S] at `RATE`: its loudness by time, of the whole length, and by pitch.

    Silence at both ends is cut off; loudness is in decibels below the loudest place, down to 30.
    """
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    samples = samples[loud[0] : loud[-1] + 1]
    samples = np.pad(samples, (0, max(0, 2 * _WINDOW - len(samples))))
    hop = max(1, min(_WINDOW // 4, (len(samples) - _WINDOW) // SIDE))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::hop]  # [F, window]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2  # [F, window / 2 + 1]
    pitch = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    edges = np.geomspace(_LOWEST, _HIGHEST, SIDE + 1)
    bands = np.stack([power[:, _between(pitch, low, high)].mean(axis=1) for low, high in pairwise(edges)])  # [SIDE, F]
    columns = np.linspace(0, bands.shape[1], SIDE + 1).astype(int)
    means = np.stack(
        [bands[:, start : max(end, start + 1)].mean(axis=1) for start, end in pairwise(columns)], axis=1
    )  # [SIDE, SIDE]
    decibels = 10 * np.log10(np.maximum(means, 1e-12) / max(float(means.max()), 1e-12))
    return (np.clip(decibels / _DEEPEST + 1, 0, 1) * 255).astype(np.uint8)[:, :, None]


def _between(pitch: np.ndarray, low: float, high: float) -> np.ndarray:
    """The frequencies in a band; the nearest one where there is none, as at the low end."""
    within = (pitch >= low) & (pitch < high)
    if not within.any():
        within[np.abs(pitch - (low + high) / 2).argmin()] = True
    return within


def same_waves(table: Table, spec: InputSpec, pairs: np.ndarray) -> np.ndarray:
    """bool [pairs]: which pairs of records, int64 [pairs, 2] from 0, have one wave at some shift, louder or not.

    Two tones of one pitch look alike, and so do two readings of a word; their waves do not run together.
    """

    @lru_cache(_KEPT)
    def wave(row: int) -> np.ndarray:
        return audio.decode(table.value(row, spec), table.root, rate=RATE)[:_LONGEST]

    return np.array([alike(wave(int(one)), wave(int(two))) for one, two in pairs], dtype=bool)


def alike(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two waves [S] correlate at some shift."""
    norm = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return norm > 0 and float(np.abs(signal.correlate(one, two, method="fft")).max()) > _SAME * norm
