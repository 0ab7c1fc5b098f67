"""From decoded samples to a log-mel spectrogram, without what a microphone, a room and a distance add to it."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from sensorium.encoders.audio_augmentation import (
    DECIBEL,
    AudioAugmentation,
    between,
    change_colour,
    change_samples,
    mask_spectrogram,
)
from sensorium.encoders.audio_windows import spread
from sensorium.errors import UserError
from sensorium.nn.mfcc import cepstrum
from sensorium.nn.spectrogram import LogMel

Front = Literal["log_mel", "mfcc"]


def check_front(settings: Any) -> Any:
    """`settings`, which have front, bands and coefficients. Raises ValueError when there are too few bands."""
    if settings.front == "mfcc" and settings.coefficients > settings.bands:
        raise ValueError(
            f"{settings.coefficients} coefficients need as many bands, there are {settings.bands}; raise bands"
        )
    return settings


class AudioSettings(BaseModel):
    """What an AudioProcessor does.

    rate: hertz, asked of the decoder, which gives the mean of a sound's channels.
    seconds: the span that is read at once. windows: a longer clip is read in at most that many such spans, evenly from
             its beginning to its end; with 1, it is cut to its loudest one.
    bands, window, hop: see LogMel; window and hop in seconds.
    range: decibels. What is farther below the clip's loudest point is raised to there, so that a clip recorded in a
           silent room and one in a noisy room look alike.
    front, coefficients: log_mel gives the bands; mfcc as many coefficients of their cosine transform (see `cepstrum`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """float32 [S] in [-1, 1] at `rate` hertz -> `spectrogram`, float32 [F, M].

    Its dynamic range is bounded, then each band's mean over the clip is taken away and all is divided by one spread, so
    that loudness and a microphone's colour are gone. Reads and writes `processor.json`.
    """

    def __init__(self, settings: AudioSettings):
        self.settings = settings
        self.decoding: dict[str, Any] = {"rate": settings.rate}
        self.front = LogMel(settings.rate, settings.bands, settings.window, settings.hop)
        self._length = round(settings.seconds * settings.rate)

    def __call__(self, value: np.ndarray, augment: bool = False) -> dict[str, Tensor]:
        """One clip; with `augment`, changed by chance from torch's global random state (see AudioAugmentation)."""
        chance = self.settings.augmentation if augment else None
        read = [self._read(samples, chance) for samples in self._windows(value, chance)]
        return {"spectrogram": torch.cat(read)}

    @property
    def frames(self) -> int:
        """How many frames a window has, when there may be several: the clip's others follow it in `spectrogram`."""
        return self.front.frames(self._length)

    @property
    def of_long_clips(self) -> str:
        """What is read of a clip longer than `seconds`, in words."""
        seconds, windows = self.settings.seconds, self.settings.windows
        read = "its loudest span of that length is" if windows == 1 else f"up to {windows} windows of that length are"
        return f"of a clip longer than {seconds:g} s {read} read"

    def _windows(self, value: np.ndarray, chance: AudioAugmentation | None) -> list[Tensor]:
        most, length = self.settings.windows, self._length
        samples = torch.from_numpy(np.array(loudest(value, length) if most == 1 else value))
        if most > 1 and len(samples) > most * length:
            samples = torch.cat(spread(samples, length, most))
        if chance is not None:
            samples = change_samples(samples, self.settings.rate, chance)
        return [samples] if most == 1 else spread(samples, length, most)

    def _read(self, samples: Tensor, chance: AudioAugmentation | None) -> Tensor:
        """float [S] -> [F, M]."""
        spectrogram, reach = self.front(samples), self.settings.range
        if chance is None:
            return self._normalise(spectrogram, reach)
        reach *= between(1 - chance.range, 1 + chance.range)
        return mask_spectrogram(self._normalise(change_colour(spectrogram, chance), reach), chance)

    def _normalise(self, spectrogram: Tensor, reach: float) -> Tensor:
        if self.settings.front == "log_mel":
            return normalise(spectrogram, reach)
        return normalise_cepstrum(cepstrum(spectrogram, self.settings.coefficients, reach))

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`spectrogram` float32 [B, F, M], F the longest's, zero beyond each clip's end, and `mask` bool [B, F]."""
        lengths = [0 if item is None else len(item["spectrogram"]) for item in items]
        spectrogram = torch.zeros(len(items), max(lengths) or 1, self.settings.width)
        for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
            if item is not None:
                spectrogram[row, :length] = item["spectrogram"]
        mask = torch.arange(spectrogram.shape[1]) < torch.tensor(lengths)[:, None]
        return {"spectrogram": spectrogram, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes the settings into `folder`."""
        (Path(folder) / "processor.json").write_text(self.settings.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path) -> "AudioProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(AudioSettings.model_validate_json((Path(folder) / "processor.json").read_text()))


def from_facts(config: Any, facts: dict[str, float]) -> Any:
    """A sound encoder's `config` with rate and seconds stated, from the `facts` of a scan where they were not."""
    rate = config.rate or min(16_000, max(4_000, round(facts.get("rate", 16_000))))
    seconds = config.seconds or min(30.0, max(0.1, round(facts.get("seconds", 10.0), 2)))
    return config.model_copy(update={"rate": rate, "seconds": seconds})


def processor_of(config: Any) -> AudioProcessor:
    """The processor of a sound encoder's `config`, which names all of AudioSettings.

    Raises UserError when it states no rate or seconds.
    """
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
    in each band, and a variance of one over all bands (less where hardly anything happens)."""
    spectrogram = torch.maximum(spectrogram, spectrogram.max() - reach * DECIBEL)
    centred = spectrogram - spectrogram.mean(dim=0)
    return centred / (centred.std(correction=0) + 0.1)


def normalise_cepstrum(coefficients: Tensor) -> Tensor:
    """float [F, C], decibels -> the same shape: each coefficient with zero mean, and a variance of one over the clip
    (less where it moves by hardly a decibel)."""
    centred = coefficients - coefficients.mean(dim=0)
    return centred / (centred.std(dim=0, correction=0) + 1.0)
