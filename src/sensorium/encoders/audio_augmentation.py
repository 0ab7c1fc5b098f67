"""Random changes of a training clip: of its samples before the spectrogram, and of the spectrogram."""

import math

import torch
from pydantic import BaseModel, Field
from torch import Tensor

DECIBEL = math.log(10) / 10  # nepers of power


class AudioAugmentation(BaseModel, frozen=True, extra="forbid"):
    """How far a training clip is changed; drawn uniformly up to these bounds. A bound of 0 turns a change off.

    speed:  faster or slower, pitch and all, as a share (Ko et al. 2015): other speakers.
    shift:  seconds, either way; samples that leave at one end enter at the other.
    gain:   decibels, either way.
    noise:  decibels of the loudest white noise, measured from the clip's own power; half the clips get some, down to
            30 below that. None for none.
    colour: decibels, the standard deviation of each of five points of a smooth curve over the bands: other microphones.
    range:  of the processor's dynamic range, either way, as a share: other rooms.
    bands, frames: of the two masks across and the two along the spectrogram, the widest, as a share of its bands and of
            its frames (SpecAugment, Park et al. 2019, arXiv:1904.08779, without its warp).
    longest: seconds of the widest mask along it, so that of a long clip no whole sentence goes."""

    speed: float = Field(0.15, ge=0, lt=1)
    shift: float = Field(0.05, ge=0)
    gain: float = Field(6.0, ge=0)
    noise: float | None = None
    colour: float = Field(2.0, ge=0)
    range: float = Field(0.2, ge=0, lt=1)
    bands: float = Field(0.15, ge=0, lt=1)
    frames: float = Field(0.15, ge=0, lt=1)
    longest: float = Field(1.0, gt=0)


def change_samples(samples: Tensor, rate: int, settings: AudioAugmentation) -> Tensor:
    """samples float [S] at `rate` hertz -> [S'], at another speed, shifted, louder or softer, and noised."""
    if settings.speed:
        samples = _resample(samples, uniform(1 - settings.speed, 1 + settings.speed))
    if settings.shift:
        samples = samples.roll(round(uniform(-settings.shift, settings.shift) * rate))
    if settings.gain:
        samples = samples * 10 ** (uniform(-settings.gain, settings.gain) / 20)
    if settings.noise is not None and uniform(0, 1) < 0.5:
        level = 10 ** (uniform(settings.noise - 30, settings.noise) / 20)
        samples = samples + torch.randn_like(samples) * samples.square().mean().sqrt() * level
    return samples


def change_colour(spectrogram: Tensor, settings: AudioAugmentation) -> Tensor:
    """spectrogram float [F, M], nepers of power -> the same shape, each band louder or softer by a smooth curve."""
    if not settings.colour:
        return spectrogram
    points = torch.randn(1, 1, 5) * settings.colour * DECIBEL
    curve = torch.nn.functional.interpolate(points, spectrogram.shape[1], mode="linear", align_corners=True)
    return spectrogram + curve[0]  # [1, M]


def mask_spectrogram(spectrogram: Tensor, rate: float, settings: AudioAugmentation) -> Tensor:
    """spectrogram float [F, M], `rate` frames a second -> the same shape, with two spans of bands and two of frames set
    to zero, its mean."""
    spectrogram = spectrogram.clone()
    frames, bands = spectrogram.shape
    for _ in range(2):
        start, end = _span(bands, settings.bands * bands)
        spectrogram[:, start:end] = 0
        start, end = _span(frames, min(settings.frames * frames, settings.longest * rate))
        spectrogram[start:end] = 0
    return spectrogram


def uniform(low: float, high: float) -> float:
    """A number drawn uniformly from torch's global random state."""
    return low + (high - low) * torch.rand(()).item()


def _resample(samples: Tensor, speed: float) -> Tensor:
    """float [S] -> [S / speed]: its spectrum, cut or filled with zeros, back to another number of samples."""
    count = max(1, round(len(samples) / speed))
    return torch.fft.irfft(torch.fft.rfft(samples), count) * (count / len(samples))


def _span(length: int, widest: float) -> tuple[int, int]:
    width = int(uniform(0, widest + 1))
    start = int(uniform(0, length - width + 1))
    return start, start + width
