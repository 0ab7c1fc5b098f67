"""Sounds to compare: a picture of each to find candidates by, and the waves themselves to decide."""

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import signal

from sensorium.data.media import audio
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table

RATE = 8000  # hertz
_WINDOW = 512
_DEEPEST = 30.0  # decibels below the loudest, under which there is mostly noise
_LONGEST = 20 * RATE  # samples of a wave that are compared
_SAME = 0.9  # correlation of a wave with its copy, compressed or with a little noise
_CACHED = 64  # decoded waves


def spectrogram_picture(samples: np.ndarray) -> Image.Image:
    """A sound [S] at `RATE`, not silent, as a gray picture of pitch by time, without the silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    samples = samples[loud[0] : loud[-1] + 1]
    samples = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    power = signal.spectrogram(samples, RATE, nperseg=_WINDOW, noverlap=_WINDOW * 3 // 4)[2]  # [frequencies, F]
    decibels = 10 * np.log10(np.maximum(power / max(float(power.max()), 1e-12), 1e-12))
    return Image.fromarray((np.clip(decibels / _DEEPEST + 1, 0, 1) * 255).astype(np.uint8))


def same_waves(table: Table, spec: InputSpec, pairs: np.ndarray) -> np.ndarray:
    """bool [pairs]: which pairs of records, int64 [pairs, 2] from 0, have one wave at some shift, louder or not. Two
    tones of one pitch look alike, and so do two readings of a word; their waves do not run together."""

    @lru_cache(_CACHED)
    def wave(row: int) -> np.ndarray:
        return audio.decode(table.value(row, spec), table.root, rate=RATE)[:_LONGEST]

    return np.array([same_wave(wave(int(a)), wave(int(b))) for a, b in pairs], dtype=bool)


def same_wave(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two waves [S] correlate at some shift."""
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return norm > 0 and float(np.abs(signal.correlate(a, b, method="fft")).max()) > _SAME * norm
