"""Beam search: the likeliest sequences of words, found by keeping the best few at each step."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class SpecialTokens(NamedTuple):
    """The tokens that begin, end and fill a sequence."""

    start: int
    end: int
    pad: int


class BeamResult(NamedTuple):
    """tokens: int64 [B, k, L], sequences from `start` to `end`, then `pad`, the likeliest first.

    likely: float32 [B, k], the logarithm of how likely each is; minus infinity where there was no further one.
    """

    tokens: Tensor
    likely: Tensor


def beam_search(following: Callable[[Tensor], Tensor], begun: Tensor, marks: SpecialTokens, longest: int) -> BeamResult:
    """The k likeliest sequences of each row that are found when the best k are kept at each step.

    following: int64 [B * k, l], the beams of each row in turn -> float32 [B * k, V], the logarithm of how likely each
    word comes next. begun: int64 [B, k, 1], the first token of every beam. A sequence has at most `longest` tokens; one
    that has not ended by then counts as it stands. One beam is greedy search.
    """
    rows, beams, _ = begun.shape
    tokens, likely = begun, torch.zeros(rows, beams, device=begun.device)
    likely[:, 1:] = -torch.inf  # at first all beams are one
    going = torch.ones_like(likely, dtype=torch.bool)
    for _ in range(longest - 1):
        words = following(tokens.flatten(0, 1)).unflatten(0, (rows, beams))  # [B, k, V]
        still = torch.full_like(words[:1, :1], -torch.inf)  # [1, 1, V]
        still[..., marks.pad] = 0.0
        words = torch.where(going[..., None], words, still)  # one that has ended stays as it is
        size = words.shape[2]
        likely, picked = (likely[..., None] + words).flatten(1).topk(beams, dim=1)  # [B, k]
        beam, word = picked // size, picked % size
        tokens = torch.cat([tokens.gather(1, beam[..., None].expand_as(tokens)), word[..., None]], dim=2)
        going = going.gather(1, beam) & (word != marks.end) & (likely > -torch.inf)
        if not going.any():
            break
    return BeamResult(tokens, likely)
