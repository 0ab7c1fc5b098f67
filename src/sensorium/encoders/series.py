"""A series of sensor readings: each reading a token that knows its time, then a transformer over them."""

import math
from collections.abc import Iterable

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.pooling import as_features, pool
from sensorium.encoders.series_processor import Channel, SeriesAugmentation, SeriesProcessor, describe_series
from sensorium.errors import UserError
from sensorium.features import Features, Series
from sensorium.nn.attention import check_config_heads
from sensorium.nn.transformer import Transformer


class SeriesConfig(BaseModel, frozen=True, extra="forbid"):
    """A series encoder's channels and shape.

    channels, step, span: from the training series: the channels, the usual step between two readings and the longest
                  series, both in seconds; None lets `build` compute them.
    width, depth, heads: of the transformer; `heads` divides `width`.
    waves:        sines and cosines of the time, of periods from twice the step to four times the span.
    max_readings: in longer series, runs of consecutive readings are averaged to so many; the work grows with its
                  square.
    augmentation: noise and left out readings in training; None for none."""

    channels: list[Channel] | None = None
    step: float | None = Field(None, gt=0)
    span: float | None = Field(None, gt=0)
    width: int = Field(64, ge=1)
    depth: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    waves: int = Field(16, ge=2)
    max_readings: int = Field(256, ge=2)
    dropout: float = Field(0.1, ge=0, lt=1)
    augmentation: SeriesAugmentation | None = SeriesAugmentation()

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "SeriesConfig":
        check_config_heads(self.width, self.heads)
        return self


class SeriesEncoder(nn.Module):
    """Readings with their time since the first and their step from the last, irregular as they come, as tokens of a
    transformer; the summary is a perceptron on the tokens' mean and the last token.

    A value and its rate of change since the channel's last one enter softly bounded, a gap as zero with a flag. Raises
    UserError when the config lacks channels, step or span (only `build` computes them)."""

    Config = SeriesConfig
    Processor = SeriesProcessor
    modality = "series"
    pretrained = False

    def __init__(self, config: SeriesConfig, processor: SeriesProcessor | None = None, summary_only: bool = False):
        super().__init__()
        if not config.channels or config.step is None or config.span is None:
            raise UserError(
                "A series encoder needs the options 'channels', 'step' and 'span'; state them, or build it from data."
            )
        self.config, self.summary_only, self.dim = config, summary_only, config.width
        self.processor = processor or SeriesProcessor(config.channels, config.max_readings, config.augmentation)
        shortest, longest = 2 * config.step, 4 * max(config.span, config.step)
        periods = torch.logspace(math.log10(shortest), math.log10(longest), config.waves, dtype=torch.float64)
        self.register_buffer("periods", periods, persistent=False)  # [waves]
        self.embedding = nn.Linear(3 * len(config.channels) + 2 * config.waves + 2, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = Transformer(config.width, config.depth, config.heads, config.dropout)
        width = 2 * config.width
        self.summary = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.width))

    @classmethod
    def build(
        cls, config: SeriesConfig, values: Iterable[Series], facts: dict[str, float], summary_only: bool = False
    ) -> "SeriesEncoder":
        """An encoder for training: what the config leaves open comes from the training series `values`. Raises
        ValueError when they do not go together (see `describe_series`)."""
        statistics = describe_series(values, config.max_readings)
        missing = {name: value for name, value in statistics._asdict().items() if getattr(config, name) is None}
        return cls(config.model_copy(update=missing), summary_only=summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`values` float [B, L, C], `gaps` bool [B, L, C], `times` float64 [B, L] seconds and `mask` bool [B, L] →
        Features of T = L tokens (one when summary_only)."""
        mask = inputs["mask"]
        real = mask[:, :, None] & ~inputs["gaps"]  # [B, L, C]
        values = torch.where(real, inputs["values"], 0.0)
        times = torch.where(mask, inputs["times"], 0.0)
        # Of each reading: its values, which are gaps, their rates of change, and its time.
        readings = [values.asinh(), (~real).float(), self._rates(values, real, times).asinh(), self._times(times)]
        tokens = self.transformer(self.dropout(self.embedding(torch.cat(readings, dim=2))), mask)  # [B, L, D]
        last = pool(tokens, mask, "last")  # [B, D]
        pooled = self.summary(torch.cat([pool(tokens, mask, "mean"), last], dim=1)).float()
        return as_features(torch.where(mask[:, :, None], tokens, 0.0), mask, pooled, self.summary_only)

    def _rates(self, values: Tensor, real: Tensor, times: Tensor) -> Tensor:
        """float [B, L, C]: each value's change from the previous one of its channel, over gaps, in a usual step. The
        first has none: 0. `real` bool [B, L, C] is True where there is a value, `times` float64 [B, L]."""
        positions = torch.arange(real.shape[1], device=real.device)[:, None]
        latest = torch.where(real, positions, -1).cummax(dim=1).values
        previous = nn.functional.pad(latest[:, :-1], (0, 0, 1, 0), value=-1)  # [B, L, C], the previous value
        times = times[:, :, None].expand_as(values)
        steps = (times - times.gather(1, previous.clamp_min(0))) / self.config.step
        # Readings at nearly the same time show noise and no rate.
        rates = (values - values.gather(1, previous.clamp_min(0))) / steps.clamp_min(0.1).float()
        return torch.where(real & (previous >= 0), rates, 0.0)

    def _times(self, times: Tensor) -> Tensor:
        """float64 [B, L] seconds → float32 [B, L, 2 waves + 2]: sines, cosines, share of the span, logarithm of the
        step. The phase is computed in float64, because a long series has many periods of the shortest wave."""
        phase = (2 * math.pi * (times[:, :, None] / self.periods % 1)).float()  # [B, L, waves]
        step = torch.diff(times, dim=1, prepend=times[:, :1]).clamp_min(0)  # [B, L]
        relative = torch.stack([times / self.config.span, (step / self.config.step).log1p()], dim=2)  # [B, L, 2]
        return torch.cat([phase.sin(), phase.cos(), relative.float()], dim=2)
