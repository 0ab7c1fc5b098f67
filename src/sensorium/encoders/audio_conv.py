"""Sound from scratch: residual convolutions over time and pitch, blind to padding."""

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.audio_augmentation import AudioAugmentation
from sensorium.encoders.audio_processor import AudioProcessor, Front, check_front, processor_of, with_rate_and_seconds
from sensorium.encoders.audio_windows import encode_windows
from sensorium.encoders.pooling import add_order, as_features
from sensorium.features import Features
from sensorium.nn.convolution import LineNorm, Residual, halved, masked


class AudioConvConfig(BaseModel, frozen=True, extra="forbid"):
    """A convolutional sound encoder's shape.

    rate:     hertz; None lets `build` take the most frequent one of the data, at most 16,000.
    seconds:  the span that is read at once; None lets `build` take the 95th percentile of the data, at most 30.
    windows:  a longer clip is read in at most that many spans; with 1, it is cut to its loudest one.
    bands, window, hop: of the log-mel spectrogram, the last two in seconds (see LogMel).
    range, front, coefficients, augmentation: see AudioSettings.
    channels: of the first stage; each of the two after has twice the last and half its frames and bands.
    quick:    whether the stem halves the frames too, at half the cost. A fit that names no encoder chooses it.
    positions: whether a token says when it comes, see `add_order`; None lets `build` say yes, and is no in the
              checkpoints of before.
    width:    of the tokens. depth: residual blocks a stage."""

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
    channels: int = Field(16, ge=4)
    quick: bool = False
    positions: bool | None = Field(None, exclude_if=lambda value: value is None)
    width: int = Field(128, ge=8)
    depth: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> "AudioConvConfig":
        return check_front(self)


class AudioConv(nn.Module):
    """Log-mel spectrogram -> two-dimensional residual convolutions -> a token each four frames, or eight when quick.

    Convolving over pitch as over time makes what is learned from one voice hold for a higher or a lower one. Each
    frame is normalised by itself and padding is zeroed before every convolution, so a clip alone equals it in a batch.
    Pooled is half the mean of the tokens plus half their maximum. Raises UserError when rate or seconds is None."""

    Config = AudioConvConfig
    Processor = AudioProcessor
    modality = "audio"
    pretrained = False

    def __init__(self, config: AudioConvConfig, processor: AudioProcessor | None = None, summary_only: bool = False):
        super().__init__()
        self.config, self.processor, self.summary_only = config, processor or processor_of(config), summary_only
        self.dim = config.width
        height = -(-self.processor.settings.width // 2)
        self.stem = nn.Conv2d(1, config.channels, 5, stride=(2 if config.quick else 1, 2), padding=2)
        # Three stages; each after the first begins with a stride and has twice the channels.
        blocks, channels = [], config.channels
        for stage in range(3):
            for block in range(config.depth):
                halve = stage > 0 and block == 0
                out_height, out_channels = -(-height // 2) if halve else height, config.channels * 2**stage
                norms = partial(LineNorm, width=height), partial(LineNorm, width=out_height)
                blocks.append(Residual(channels, out_channels, norms, 2 if halve else 1, config.dropout))
                channels, height = out_channels, out_height
        self.blocks = nn.ModuleList(blocks)
        self.mix = nn.Conv1d(channels * height, config.width, 3, padding=1)
        self.norm = nn.LayerNorm(config.width)

    @classmethod
    def build(
        cls, config: AudioConvConfig, values: Iterable[np.ndarray], facts: dict[str, float], summary_only: bool = False
    ) -> "AudioConv":
        """An encoder for training: unstated rate and seconds are taken from `facts`; `values` are not read."""
        if config.positions is None:
            config = config.model_copy(update={"positions": True})
        return cls(with_rate_and_seconds(config, facts), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`spectrogram` float [B, F, M], `mask` bool [B, F] -> Features of T = ceil(F / 4), ceil(F / 8) when quick
        (1 if summary_only). With several windows these are read each by itself, see `encode_windows`."""
        features = encode_windows(self._encode, inputs, self.processor.frames, self.summary_only)
        if not self.config.positions or self.summary_only:
            return features
        return features._replace(tokens=torch.where(features.mask[:, :, None], add_order(features.tokens), 0.0))

    def _encode(self, spectrogram: Tensor, mask: Tensor) -> Features:
        spectrogram = torch.where(mask[:, :, None], spectrogram, 0.0)
        x = self.stem(spectrogram[:, None].contiguous(memory_format=torch.channels_last)).float()  # [B, C, F, M / 2]
        mask = halved(mask) if self.config.quick else mask
        for block in self.blocks:
            x = block(x, mask)
            mask = halved(mask) if block.stride == 2 else mask
        x = masked(x, mask).transpose(2, 3).flatten(1, 2)  # [B, channels * bands, T]
        tokens = nn.functional.silu(self.norm(self.mix(x).transpose(1, 2).float()))  # [B, T, D]
        tokens = torch.where(mask[:, :, None], tokens, 0.0)
        # Tokens are never below SiLU's least value, about -0.28, so -1 is never the maximum of a row with a token.
        maximum = torch.where(mask[:, :, None], tokens, -1.0).amax(dim=1)
        pooled = (tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True) + maximum) / 2  # [B, D]
        return as_features(tokens, mask, pooled, self.summary_only)
