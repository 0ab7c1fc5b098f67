"""Long clips read in several windows: cut by the processor, encoded each by itself, joined again in time."""

from collections.abc import Callable

import torch
from torch import Tensor

from sensorium.features import Features


def spread(samples: Tensor, length: int, most: int) -> list[Tensor]:
    """float [S] -> windows of `length` samples, evenly from the clip's beginning to its end: as many as cover it, but
    at most `most`, two or more; a clip no longer than that is one window as it is."""
    if len(samples) <= length:
        return [samples]
    count, last = min(most, -(-len(samples) // length)), len(samples) - length
    return [samples[start : start + length] for start in (round(last * place / (count - 1)) for place in range(count))]


def in_windows(
    encode: Callable[[Tensor, Tensor], Features], spectrogram: Tensor, mask: Tensor, frames: int, summary_only: bool
) -> Features:
    """Features of clips [B, L, M], mask bool [B, L], in which windows of `frames` frames stand one after the other.

    `encode` reads (spectrogram [b, frames, M], mask [b, frames]), the windows that are there. Tokens follow each other
    in time, pooled is the mean over the windows of a clip. A batch no longer than one window is encoded as it is.
    """
    if mask.shape[1] <= frames:
        return encode(spectrogram, mask)
    apart = mask.unflatten(1, (-1, frames)).flatten(0, 1)  # [B * N, frames]
    there = apart.any(dim=1)
    read = encode(spectrogram.unflatten(1, (-1, frames)).flatten(0, 1)[there], apart[there])  # of [b, frames, M]
    tokens, real, pooled = (_back(part, there, len(mask)) for part in read)  # [B, N, T, D], [B, N, T], [B, N, D]
    count = there.view(len(mask), -1).sum(dim=1, keepdim=True).clamp(min=1)  # [B, 1]
    pooled = pooled.sum(dim=1) / count
    if summary_only:
        return Features.one(pooled, mask.any(dim=1))
    return Features(tokens.flatten(1, 2), real.flatten(1, 2), pooled)


def _back(part: Tensor, there: Tensor, rows: int) -> Tensor:
    """[b, ...] -> [B, N, ...]: each window in its place, zeros where a clip has none."""
    places = torch.zeros(len(there), *part.shape[1:], dtype=part.dtype, device=part.device)
    return places.index_put((there.nonzero()[:, 0],), part).unflatten(0, (rows, -1))
