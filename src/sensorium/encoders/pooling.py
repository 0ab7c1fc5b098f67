"""One vector from many tokens, where in a picture each of them is, and both as Features."""

import math
from typing import Literal

import torch
from torch import Tensor

from sensorium.features import Features

Pooling = Literal["mean", "first", "last"]


def pool(tokens: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """tokens float [B, T, D], mask bool [B, T] → float32 [B, D]: the mean of the real ones, the first, or the last."""
    if how == "first":
        return tokens[:, 0].float()
    if how == "last":
        positions = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask, positions, 0).amax(dim=1)  # [B]
        return tokens[torch.arange(len(tokens), device=tokens.device), last].float()
    weight = mask[:, :, None].float()  # [B, T, 1]
    return (tokens.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)


def pool_thirds(tokens: Tensor, lengths: Tensor) -> Tensor:
    """tokens float [B, T, D], of which the first `lengths`, int64 [B], are real → float32 [B, 3 D]: the means of their
    first, second and last third, of one token at least."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    means = []
    for third in range(3):
        start = third * lengths // 3
        end = torch.maximum((third + 1) * lengths // 3, start + 1)
        means.append(pool(tokens, (positions >= start[:, None]) & (positions < end[:, None]), "mean"))
    return torch.cat(means, dim=1)


def summarise(tokens: Tensor, mask: Tensor, how: Pooling, summary_only: bool) -> Features:
    """tokens [B, T, D], mask bool [B, T] → Features of tokens, zero where masked, and their pooling, or of it alone."""
    pooled = pool(tokens, mask, how)
    if summary_only:
        return Features.one(pooled, mask.any(dim=1))
    return Features(torch.where(mask[:, :, None], tokens.float(), 0.0), mask, pooled)


def as_features(tokens: Tensor, mask: Tensor, pooled: Tensor, summary_only: bool) -> Features:
    """tokens [B, T, D], zero where masked, mask bool [B, T] or [B, 1], pooled [B, D] → their Features, or pooled's."""
    if summary_only:
        return Features.one(pooled, mask.any(dim=1))
    return Features(tokens, mask.expand(-1, tokens.shape[1]), pooled)


def add_positions(tokens: Tensor, height: int, width: int) -> Tensor:
    """tokens float [B, height * width, D], the positions of a map line by line → the same shape, with sines and cosines
    of a token's line and column added, at .7 of its size: convolutions hardly say where in a picture a thing is.

    The two-dimensional form of fixed positions (Vaswani et al. 2017, arXiv:1706.03762), of waves from two pictures long
    to a quarter of one. Of D, what does not divide by four stays as it is.
    """
    waves = math.pi * 2 ** torch.linspace(0, 3, tokens.shape[2] // 4, device=tokens.device)  # [D / 4]
    lines, columns = torch.meshgrid(
        *((torch.arange(side, device=tokens.device) + 0.5) / side for side in (height, width)), indexing="ij"
    )
    angles = torch.stack([lines, columns], dim=2).flatten(0, 1)[..., None] * waves  # [T, 2, D / 4]
    return _add_waves(tokens, torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1))


def add_order(tokens: Tensor) -> Tensor:
    """tokens float [B, T, D], one after another in time → the same shape, with sines and cosines of a token's number
    added, at .7 of its size: convolutions do not say which of two equal sounds comes first.

    The fixed positions of Vaswani et al. (2017, arXiv:1706.03762), which do not depend on how long the series is. Of an
    odd D the last number stays as it is.
    """
    half = tokens.shape[2] // 2
    waves = 10_000.0 ** (-torch.arange(half, device=tokens.device) / half)
    angles = torch.arange(tokens.shape[1], device=tokens.device)[:, None] * waves  # [T, D / 2]
    return _add_waves(tokens, torch.cat([angles.sin(), angles.cos()], dim=1))


def _add_waves(tokens: Tensor, waves: Tensor) -> Tensor:
    """tokens float [B, T, D], waves [T, d], d <= D → the tokens with the waves added to their first d numbers, as large
    as a token's numbers are in the root mean square."""
    waves = torch.nn.functional.pad(waves, (0, tokens.shape[2] - waves.shape[1]))
    size = tokens.float().square().mean(dim=2, keepdim=True).clamp(min=1e-12).sqrt()  # [B, T, 1]
    return tokens + waves * size
