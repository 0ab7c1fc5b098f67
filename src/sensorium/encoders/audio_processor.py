"""From decoded samples to a log-mel spectrogram, without the effects of microphone, room and distance."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from sensorium.encoders import audio_augmentation as changes
from sensorium.encoders.audio_augmentation import DECIBEL, AudioAugmentation
from sensorium.encoders.audio_windows import split_windows
from sensorium.encoders.padding import column, pad_sequences
from sensorium.errors import UserError
from sensorium.nn.mfcc import cepstrum
from sensorium.nn.spectrogram import LogMel

Front = Literal["log_mel", "mfcc"]
LEAST_SECONDS, MOST_SECONDS = 0.1, 30.0  # of an unstated span


def check_front(settings: Any) -> Any:
    """`settings`, which have front, bands and coefficients. Raises ValueError when there are too few bands."""
    count, bands = settings.coefficients, settings.bands
    if settings.front == "mfcc" and count > bands:
        raise ValueError(f"{count} coefficients need as many bands, there are {bands}; raise bands")
    return settings


class AudioSettings(BaseModel, frozen=True, extra="forbid"):
    """What an AudioProcessor does.

    rate: hertz, which the decoder resamples to; it gives the mean of a sound's channels.
    seconds: the span that is read at once. windows: a longer clip is read in at most that many such spans, evenly from
             its beginning to its end; with 1, it is cut to its loudest one.
    bands, window, hop: see LogMel; window and hop in seconds.
    range: decibels. Values farther below the clip's loudest point are raised to that level, so that clips recorded in a
           silent and in a noisy room look alike.
    front, coefficients: log_mel gives the bands; mfcc as many coefficients of their cosine transform (see `cepstrum`).
    """

    rate: int = Field(ge=1000, le=192_000)
    seconds: float = Field(gt=0, le=3600)
    windows: int = Field(1, ge=1, le=64)
    bands: int = Field(64, ge=8)
    window: float = Field(0.025, gt=0)
    hop: float = Field(0.01, gt=0)
    range: float = Field(26.0, gt=0)
    front: Front = "log_mel"
    coefficients: int = Field(20, ge=2)
    augmentation: AudioAugmentation | None = AudioAugmentation()

    @model_validator(mode="after")
    def _fits(self) -> "AudioSettings":
        return check_front(self)

    @property
    def width(self) -> int:
        """M, how many numbers a frame has."""
        return self.bands if self.front == "log_mel" else self.coefficients


class AudioProcessor:
    """float32 [S] in [-1, 1] at `rate` hertz -> `spectrogram`, float32 [F, M]. Its dynamic range is bounded, then each
    band's mean over the clip is subtracted and all is divided by one standard deviation, which removes loudness and the
    colour of the microphone. Reads and writes `processor.json`."""

    def __init__(self, settings: AudioSettings):
        self.settings = settings
        self.decoding: dict[str, Any] = {"rate": settings.rate}
        self.front = LogMel(settings.rate, settings.bands, settings.window, settings.hop)
        self._length = round(settings.seconds * settings.rate)

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One clip; with `augment`, changed at random by torch's global random state (see AudioAugmentation)."""
        augmentation = self.settings.augmentation if augment else None
        windows = [self._spectrogram(samples, augmentation) for samples in self._windows(value, augmentation)]
        return {"spectrogram": torch.cat(windows)}

    @property
    def frames(self) -> int | None:
        """How many frames a window has, in a `spectrogram` of several; None where a clip is one window."""
        return None if self.settings.windows == 1 else self.front.frames(self._length)

    @property
    def of_long_clips(self) -> str:
        """What is read of a clip longer than `seconds`, in words."""
        seconds, windows = self.settings.seconds, self.settings.windows
        read = "its loudest span of that length is" if windows == 1 else f"up to {windows} windows of that length are"
        return f"of a clip longer than {seconds:g} s {read} read"

    def _windows(self, value: np.ndarray, augmentation: AudioAugmentation | None) -> list[Tensor]:
        most, length = self.settings.windows, self._length
        samples = torch.from_numpy(np.array(loudest(value, length) if most == 1 else value))
        if most > 1 and len(samples) > most * length:
            samples = torch.cat(split_windows(samples, length, most))
        if augmentation is not None:
            samples = changes.change_samples(samples, self.settings.rate, augmentation)
        return [samples] if most == 1 else split_windows(samples, length, most)

    def _spectrogram(self, samples: Tensor, augmentation: AudioAugmentation | None) -> Tensor:
        """float [S] -> [F, M]."""
        spectrogram, reach = self.front(samples), self.settings.range
        if augmentation is None:
            return self._normalise(spectrogram, reach)
        reach *= changes.uniform(1 - augmentation.range, 1 + augmentation.range)
        coloured = changes.change_colour(spectrogram, augmentation)
        rate = self.settings.rate / self.front.hop
        return changes.mask_spectrogram(self._normalise(coloured, reach), rate, augmentation)

    def _normalise(self, spectrogram: Tensor, reach: float) -> Tensor:
        if self.settings.front == "log_mel":
            return normalise(spectrogram, reach)
        return normalise_cepstrum(cepstrum(spectrogram, self.settings.coefficients, reach))

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`spectrogram` float32 [B, F, M], F the longest's, zero beyond each clip's end, and `mask` bool [B, F]."""
        spectrogram, mask = pad_sequences(column(items, "spectrogram"), (self.settings.width,))
        return {"spectrogram": spectrogram, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes the settings into `folder`."""
        (Path(folder) / "processor.json").write_text(self.settings.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> "AudioProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(AudioSettings.model_validate_json((Path(folder) / "processor.json").read_text()))


def with_rate_and_seconds(config: Any, facts: dict[str, float]) -> Any:
    """A sound encoder's `config` with rate and seconds, from the `facts` of a scan where they are None. What is read
    whole (see `seconds_of`) may also be longer than the clips of the scan, up to MOST_SECONDS.
    """
    rate = config.rate or min(16_000, max(4_000, round(facts.get("rate", 16_000))))
    seconds = max(MOST_SECONDS, facts["longest"]) if "whole" in facts else seconds_of(facts)
    return config.model_copy(update={"rate": rate, "seconds": config.seconds or seconds})


def seconds_of(facts: dict[str, float]) -> float:
    """The span to read, in seconds, from LEAST_SECONDS to MOST_SECONDS: that of the `facts` of a scan, which most clips
    fit into, or where `whole` is among them that of the longest: a text that is written of a clip is lost with its end.
    """
    fitting = facts["longest"] + 0.005 if "whole" in facts else facts.get("seconds", 10.0)
    return min(MOST_SECONDS, max(LEAST_SECONDS, round(fitting, 2)))


def processor_of(config: Any) -> AudioProcessor:
    """The processor of a `config` that has all of AudioSettings. Raises UserError when rate or seconds is None."""
    if config.rate is None or config.seconds is None:
        raise UserError("An audio encoder needs the options 'rate' and 'seconds'; state them, or build it from data.")
    return AudioProcessor(AudioSettings(**{name: getattr(config, name) for name in AudioSettings.model_fields}))


def loudest(samples: np.ndarray, length: int) -> np.ndarray:
    """float32 [S] -> the `length` samples in a row that have the most energy; all of a clip no longer than that."""
    if len(samples) <= length:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])  # [S + 1]
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]


def normalise(spectrogram: Tensor, reach: float) -> Tensor:
    """float [F, M], nepers of power -> the same shape: nothing over `reach` decibels below the loudest point, zero mean
    in each band, and a variance of one over all bands (less where it hardly varies)."""
    spectrogram = torch.maximum(spectrogram, spectrogram.max() - reach * DECIBEL)
    centred = spectrogram - spectrogram.mean(dim=0)
    return centred / (centred.std(correction=0) + 0.1)


def normalise_cepstrum(coefficients: Tensor) -> Tensor:
    """float [F, C], decibels -> coefficients of zero mean and a variance of one over the clip (less where flat)."""
    centred = coefficients - coefficients.mean(dim=0)
    return centred / (centred.std(dim=0, correction=0) + 1.0)
