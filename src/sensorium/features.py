"""What moves through the house: a decoded series, features of a batch, the batch itself, a loss with its count."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def default_channels(count: int) -> tuple[str, ...]:
    """The names of `count` channels that have none: "1", "2", ..."""
    return tuple(str(number) for number in range(1, count + 1))


class Series(NamedTuple):
    """L readings of C channels, decoded.

    times:    float64 [L], seconds, ascending; since 1970 where they were dates. Equal ones keep their order.
    values:   float32 [L, C], NaN in a gap.
    channels: C names; those of an array or of rows are their numbers, "1", "2", ...
    """

    times: np.ndarray
    values: np.ndarray
    channels: tuple[str, ...]

    @property
    def named(self) -> bool:
        """False when the channels have only their numbers as names."""
        return self.channels != default_channels(len(self.channels))


class Features(NamedTuple):
    """What an encoder or a fusion gives for a batch.

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
        # In the backward pass this is several times as fast as indexing.
        return Features(*(tensor.index_select(0, index) for tensor in self))

    def chunk(self, count: int) -> list["Features"]:
        """`count` chunks of equally many rows each, in order."""
        return [Features(*tensors) for tensors in zip(*(tensor.chunk(count) for tensor in self), strict=True)]

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
        if not bool(present.all()):  # most batches lack nothing, and torch.where costs as much as a layer
            pooled = torch.where(present[:, None], pooled, 0.0)
        return cls(pooled[:, None], present[:, None], pooled)  # tokens [B, 1, D]

    @classmethod
    def joined(cls, chunks: list["Features"]) -> "Features":
        """The rows of all `chunks` in order, padded to the longest."""
        longest = max(chunk.tokens.shape[1] for chunk in chunks)
        pad = torch.nn.functional.pad
        return cls(
            torch.cat([pad(chunk.tokens, (0, 0, 0, longest - chunk.tokens.shape[1])) for chunk in chunks]),
            torch.cat([pad(chunk.mask, (0, longest - chunk.mask.shape[1])) for chunk in chunks]),
            torch.cat([chunk.pooled for chunk in chunks]),
        )


class Batch(NamedTuple):
    """Records as tensors.

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
        """bool [B]: which rows have any input. A view that another model reads, `photo/teacher`, does not count."""
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
    """The distinct rows of `ids`, int64 [B, N]: int64 [D], the first row of each, in ascending order of the ids; and
    int64 [B], which of those D each row is.
    """
    distinct, inverse = ids.unique(dim=0, return_inverse=True)
    rows = torch.arange(len(ids), device=ids.device)
    first = torch.full((len(distinct),), len(ids), device=ids.device).scatter_reduce(0, inverse, rows, "amin")
    return first, inverse


class Loss(NamedTuple):
    """A sum over samples and how many they are. Totals and counts are added over micro-batches and processes before
    they are divided.
    """

    total: Tensor
    count: Tensor


def rows_of(tensors: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The rows, bool [B] or int64 [M], of each tensor [B, ...]."""
    return {key: tensor[rows] for key, tensor in tensors.items()}


def scatter(features: Features, rows: Tensor, count: int) -> Features:
    """`features` of the present rows, put back at the positions `rows` among `count` rows of zeros."""
    return Features(*(tensor.new_zeros(count, *tensor.shape[1:]).index_copy(0, rows, tensor) for tensor in features))


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor of any device as an array; of half precision as float32, which NumPy has."""
    return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).cpu().numpy()
