"""What moves through the house: a decoded series, features of a batch, the batch itself, a loss with its count."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Series(NamedTuple):
    """L readings of C channels, decoded.

    times:    float64 [L], seconds, ascending; from 1970 where they were dates. Equal ones stay in their order.
    values:   float32 [L, C], NaN in a gap.
    channels: C names; those of an array or of rows are their places, "1", "2", ...
    """

    times: np.ndarray
    values: np.ndarray
    channels: tuple[str, ...]

    @property
    def named(self) -> bool:
        """False when the channels are known by their places alone."""
        return self.channels != tuple(str(place) for place in range(1, len(self.channels) + 1))


class Features(NamedTuple):
    """What an encoder, or a fusion, says of a batch.

    tokens: float [B, T, D].
    mask:   bool [B, T], True where a token is real. A row with no True is a sample that lacks this input.
    pooled: float [B, D], the encoder's own summary (class token, mean, ...); zero in a row that lacks this input.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor

    @property
    def present(self) -> Tensor:
        """bool [B]: True where any token is real."""
        return self.mask[:, 0] if self.mask.shape[1] == 1 else self.mask.any(dim=1)

    def take(self, index: Tensor) -> "Features":
        """The rows `index`, int64 [N], in that order and with repetition: re-pairs or repeats rows."""
        # Backwards it is several times as fast as indexing.
        return Features(*(tensor.index_select(0, index) for tensor in self))

    def chunk(self, count: int) -> list["Features"]:
        """`count` parts of equally many rows each, in order."""
        return [Features(*parts) for parts in zip(*(tensor.chunk(count) for tensor in self), strict=True)]

    def where(self, keep: Tensor) -> "Features":
        """Features with tokens, mask and pooled of the rows where `keep`, bool [B], is False set to zero."""
        return Features(
            torch.where(keep[:, None, None], self.tokens, 0.0),
            self.mask & keep[:, None],
            torch.where(keep[:, None], self.pooled, 0.0),
        )

    @classmethod
    def one(cls, pooled: Tensor, present: Tensor) -> "Features":
        """A single token a sample: `pooled` float [B, D], `present` bool [B]."""
        if not bool(present.all()):  # most batches have nothing to hide, and hiding costs as much as a layer
            pooled = torch.where(present[:, None], pooled, 0.0)
        return cls(pooled[:, None], present[:, None], pooled)  # tokens [B, 1, D]

    @classmethod
    def joined(cls, parts: list["Features"]) -> "Features":
        """The rows of all `parts` in order, padded to the longest."""
        longest = max(part.tokens.shape[1] for part in parts)
        pad = torch.nn.functional.pad
        return cls(
            torch.cat([pad(part.tokens, (0, 0, 0, longest - part.tokens.shape[1])) for part in parts]),
            torch.cat([pad(part.mask, (0, longest - part.mask.shape[1])) for part in parts]),
            torch.cat([part.pooled for part in parts]),
        )


class Batch(NamedTuple):
    """Records made tensors.

    inputs:  by input name, what the encoder takes (each has `mask`, bool [B, L]) or its Features, when they come from
    the cache.
    targets: by target name; each has `mask`, bool [B]; the other keys belong to the head.
    ids:     by input name, int64 [B], a hash of the input's content.
    keys:    which record each row came from, so that an error can name it.
    """

    inputs: dict[str, dict[str, Tensor] | Features]
    targets: dict[str, dict[str, Tensor]]
    ids: dict[str, Tensor]
    keys: list[str]

    def present(self, name: str) -> Tensor:
        """bool [B]: which rows have the input `name`."""
        value = self.inputs[name]
        return (value.mask if isinstance(value, Features) else value["mask"]).any(dim=1)

    def anything(self) -> Tensor:
        """bool [B]: which rows have any input; a view such as `photo/teacher`, which another model reads, is none."""
        names = [name for name in self.inputs if name in self.ids or "/" not in name]
        return torch.stack([self.present(name) for name in names]).any(dim=0)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        inputs = {
            name: Features(*(tensor.to(device) for tensor in value))
            if isinstance(value, Features)
            else {key: tensor.to(device) for key, tensor in value.items()}
            for name, value in self.inputs.items()
        }
        targets = {
            name: {key: tensor.to(device) for key, tensor in value.items()} for name, value in self.targets.items()
        }
        return Batch(inputs, targets, {name: ids.to(device) for name, ids in self.ids.items()}, self.keys)


def first_of_each(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `ids`, int64 [B, N], that differ: int64 [D], the first row of each, in the order of their numbers;
    and int64 [B], which of those D each row is.
    """
    different, place = ids.unique(dim=0, return_inverse=True)
    rows = torch.arange(len(ids), device=ids.device)
    first = torch.full((len(different),), len(ids), device=ids.device).scatter_reduce(0, place, rows, "amin")
    return first, place


class Loss(NamedTuple):
    """A sum over samples and of how many: totals and counts are added over pieces and processes before they are
    divided.
    """

    total: Tensor
    count: Tensor
