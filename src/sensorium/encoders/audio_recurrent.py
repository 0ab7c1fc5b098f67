"""Sound from scratch, frame by frame: recurrent layers over a spectrogram or its cepstrum."""

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.audio_augmentation import AudioAugmentation
from sensorium.encoders.audio_processor import AudioProcessor, Front, check_front, processor_of, with_rate_and_seconds
from sensorium.encoders.audio_windows import encode_windows
from sensorium.encoders.pooling import as_features
from sensorium.features import Features
from sensorium.nn.recurrent import Cell, Recurrent, check_two_directions


class AudioRecurrentConfig(BaseModel, frozen=True, extra="forbid"):
    """A recurrent sound encoder's shape.

    rate:     hertz; None lets `build` take the most frequent one of the data, at most 16,000.
    seconds:  the span that is read at once; None lets `build` take the 95th percentile of the data, at most 30.
    windows:  a longer clip is read in at most that many spans; with 1, it is cut to its loudest one.
    bands, window, hop: of the log-mel spectrogram, the last two in seconds (see LogMel).
    range, front, coefficients, augmentation: see AudioSettings.
    stack:    frames read in one step.
    cell:     gru or lstm.
    bidirectional: read the clip from both ends; each direction has half of the width.
    width, depth: of the tokens, and how many layers."""

    rate: int | None = Field(None, ge=1000, le=192_000)
    seconds: float | None = Field(None, gt=0, le=3600)
    windows: int = Field(1, ge=1, le=64)
    bands: int = Field(40, ge=8)
    window: float = Field(0.025, gt=0)
    hop: float = Field(0.01, gt=0)
    range: float = Field(26.0, gt=0)
    front: Front = "log_mel"
    coefficients: int = Field(20, ge=2)
    augmentation: AudioAugmentation | None = AudioAugmentation()
    stack: int = Field(3, ge=1)
    cell: Cell = "gru"
    bidirectional: bool = True
    width: int = Field(128, ge=2)
    depth: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> "AudioRecurrentConfig":
        check_two_directions(self.width, self.bidirectional)
        return check_front(self)


class AudioRecurrent(nn.Module):
    """Frames of a spectrogram, a few side by side (Sak et al. 2015, arXiv:1507.06947), then GRU or LSTM layers.

    Pooled is the last state of each direction. Raises UserError when rate or seconds is None."""

    Config = AudioRecurrentConfig
    Processor = AudioProcessor
    modality = "audio"
    pretrained = False

    def __init__(
        self, config: AudioRecurrentConfig, processor: AudioProcessor | None = None, summary_only: bool = False
    ):
        super().__init__()
        self.config, self.processor, self.summary_only = config, processor or processor_of(config), summary_only
        self.dim = config.width
        self.frames = nn.Linear(config.stack * self.processor.settings.width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(
            config.width, config.width, config.depth, config.cell, config.bidirectional, config.dropout
        )

    @classmethod
    def build(
        cls, config: AudioRecurrentConfig, values: Iterable[Any], facts: dict[str, float], summary_only: bool = False
    ) -> "AudioRecurrent":
        """An encoder for training: unstated rate and seconds are taken from `facts`; `values` are not read."""
        return cls(with_rate_and_seconds(config, facts), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`spectrogram` float [B, F, M], `mask` bool [B, F] -> Features of T = ceil(F / stack) (1 if summary_only).
        With several windows these are read each by itself, see `encode_windows`."""
        return encode_windows(self._encode, inputs, self.processor.frames, self.summary_only)

    def _encode(self, spectrogram: Tensor, mask: Tensor) -> Features:
        stack = self.config.stack
        spectrogram = torch.where(mask[:, :, None], spectrogram, 0.0)
        spectrogram = nn.functional.pad(spectrogram, (0, 0, 0, -mask.shape[1] % stack))
        steps = spectrogram.unflatten(1, (-1, stack)).flatten(2)  # [B, T, stack * M]
        mask = mask[:, ::stack]
        x = nn.functional.silu(self.norm(self.frames(steps).float()))
        tokens, pooled = self.recurrent(self.dropout(x), mask)
        return as_features(tokens, mask, pooled, self.summary_only)
