"""Samples to log-mel spectrogram, as librosa computes it."""

import math

import torch
from torch import Tensor, nn

FLOOR = 1e-10  # power below this is silence: the logarithm starts here


class LogMel(nn.Module):
    """Logarithm of the mel power spectrogram: Hann window, centred frames, zeros outside the clip, Slaney's
    bands.

    Equals log(max(librosa.feature.melspectrogram(y, sr=rate, n_fft=.fft, hop_length=.hop, win_length=.window), 1e-10)).
    rate: hertz. window, hop: seconds. bands: how many, from `low` to `high` hertz (half the rate when None).
    The length of the transform is the next power of two, or a larger one where a band would have none of its
    frequencies. Raises ValueError when the window is shorter than two samples."""

    def __init__(
        self,
        rate: int,
        bands: int = 64,
        window: float = 0.025,
        hop: float = 0.01,
        low: float = 0.0,
        high: float | None = None,
    ):
        super().__init__()
        self.rate = rate
        self.window = round(window * rate)
        self.hop = max(1, round(hop * rate))
        if self.window < 2:
            raise ValueError(f"A window of {window} s holds fewer than two samples at {rate} Hz.")
        self.fft = 2 ** math.ceil(math.log2(self.window))
        high = rate / 2 if high is None else high
        while not _mel_bands(rate, self.fft, bands, low, high).any(dim=0).all():
            self.fft *= 2
        self.register_buffer("hann", torch.hann_window(self.window), persistent=False)
        self.register_buffer("filters", _mel_bands(rate, self.fft, bands, low, high), persistent=False)

    def frames(self, samples: int) -> int:
        """How many frames a clip of `samples` samples has."""
        return 1 + samples // self.hop

    def forward(self, samples: Tensor) -> Tensor:
        """samples float [..., S] in [-1, 1] -> float [..., F, M], natural logarithm of power."""
        spectrum = torch.stft(
            samples, self.fft, self.hop, self.window, self.hann, center=True, pad_mode="constant", return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()  # [..., fft / 2 + 1, F]
        return (power.transpose(-1, -2) @ self.filters).clamp_min(FLOOR).log()  # [..., F, M]


def _mel_bands(rate: int, fft: int, bands: int, low: float, high: float) -> Tensor:
    """float [fft / 2 + 1, M]: triangles evenly spaced in mels, of unit area in hertz (Slaney's Auditory Toolbox)."""
    ends = _to_mel(torch.tensor([low, high], dtype=torch.float64))
    edges = _to_hertz(torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64))  # [M + 2]
    frequencies = torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.float64)[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp_min(0)  # [fft / 2 + 1, M]
    return (triangles * 2 / (upper - lower)).float()


# Slaney's scale is linear up to 1000 Hz, 200/3 Hz a mel, and then logarithmic: 27 mels for each factor of 6.4.
_LINEAR = 200 / 3
_STEP = math.log(6.4) / 27


def _to_mel(hertz: Tensor) -> Tensor:
    above = 1000 / _LINEAR + (hertz.clamp_min(1000) / 1000).log() / _STEP
    return torch.where(hertz < 1000, hertz / _LINEAR, above)


def _to_hertz(mel: Tensor) -> Tensor:
    above = 1000 * ((mel - 1000 / _LINEAR) * _STEP).clamp_min(0).exp()
    return torch.where(mel < 1000 / _LINEAR, mel * _LINEAR, above)
