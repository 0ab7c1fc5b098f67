"""Mel-frequency cepstral coefficients, as librosa computes them."""

import math

import torch
from torch import Tensor

DECIBELS = 10 / math.log(10)  # of power, in a neper


def cepstrum(spectrogram: Tensor, coefficients: int, reach: float = 80.0) -> Tensor:
    """spectrogram float [F, M], nepers of power (see LogMel) -> float [F, C], the first `coefficients` of its MFCC
    (Davis and Mermelstein 1980): an orthonormal cosine transform (DCT-II) over the bands, in decibels.

    Values more than `reach` decibels below the clip's loudest point are raised to that level first. With 80 this equals
    librosa.feature.mfcc with the same spectrogram."""
    decibels = spectrogram * DECIBELS
    decibels = torch.maximum(decibels, decibels.max() - reach)
    return decibels @ cosines(spectrogram.shape[-1], coefficients).to(decibels)


def cosines(bands: int, coefficients: int) -> Tensor:
    """float32 [M, C]: the first columns of the orthonormal DCT-II."""
    band = torch.arange(bands, dtype=torch.float64)[:, None]
    order = torch.arange(coefficients, dtype=torch.float64)
    waves = torch.cos(math.pi / bands * (band + 0.5) * order) * math.sqrt(2 / bands)  # [M, C]
    waves[:, 0] /= math.sqrt(2)
    return waves.float()
