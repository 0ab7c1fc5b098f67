"""Exponentials of logits that neither overflow nor vanish, without running maxima."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sensorium.objectives.losses.ring import Ring
from sensorium.objectives.losses.tiles import FLOOR, dots, wide

LEAST = {torch.float32: -60.0, torch.float64: -660.0}  # of an own pair: all terms at FLOOR together are 1e-6 of it
MOST = {torch.float32: 80.0, torch.float64: 700.0}  # of the logarithm of a row's or column's sum


class Span(NamedTuple):
    """The dtype and the shift with which exp(logit - shift) serves every row and every column of a batch.

    No logit exceeds the scale times the longest rows, which for unit vectors is the scale; and each row and each column
    holds the logit of its own pair. When all own pairs are near enough to that bound, float32 has room for the sums of
    rows and of columns in one unit; else float64 has (at a scale of 100: when some own pair's cosine is below -0.3)."""

    dtype: torch.dtype
    shift: float

    @classmethod
    def of(cls, a: Tensor, b: Tensor, scale: float, ring: Ring) -> "Span":
        """The span of all processes' a, b [own rows, E]. Raises ValueError when not even float64 has room."""
        extremes = torch.stack([dots(a, a).amax(), dots(b, b).amax(), -dots(a, b).amin()]) if len(a) else None
        if extremes is None:
            extremes = torch.tensor([0.0, 0.0, -math.inf], dtype=torch.float64, device=a.device)
        extremes = torch.stack([ring.gather_one(extreme).amax() for extreme in extremes])
        longest_a, longest_b, lowest = extremes.tolist()
        bound, lowest = scale * math.sqrt(longest_a * longest_b), -scale * lowest
        for dtype in (torch.float32, torch.float64):
            shift = max(0.0, bound + math.log(max(1, sum(ring.rows))) - MOST[dtype])
            # Written so that NaN passes: embeddings that are not numbers give a loss that is none.
            if not lowest - shift < LEAST[dtype] and dtype in (wide(a), torch.float64):
                return cls(dtype, shift)
        raise ValueError(
            f"logits reach ±{bound:.0f}, which exp cannot: embeddings must be of unit length and exp(logit_scale), now"
            f" {scale:.4g}, at most a few hundred"
        )

    def moved_(self, logits: Tensor) -> Tensor:
        """logits - shift, in place."""
        return logits.sub_(self.shift) if self.shift else logits

    def exp_(self, moved: Tensor) -> Tensor:
        """exp, in place."""
        return moved.clamp_min_(FLOOR[moved.dtype]).exp_()
