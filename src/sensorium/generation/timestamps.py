"""Whisper's rules: which tokens never come, which do not come first, and how timestamps stand between texts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sensorium.generation.rules import Rule

SECONDS_A_STEP = 0.02  # of timestamps
LONGEST_LOOP, FEWEST_ROUNDS, LOOPED = 10, 4, 15  # tokens of a loop, its rounds, and tokens that are said again
FIRST_AT_MOST = 50  # steps: the first timestamp is at most a second


def suppress(tokens: Sequence[int]) -> Rule:
    """None of `tokens` comes."""

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        return scores.index_fill(1, torch.tensor(tokens, device=scores.device), -torch.inf)

    return rule


def suppress_first(tokens: Sequence[int], begins: int) -> Rule:
    """None of `tokens` comes first."""
    never = suppress(tokens)
    return lambda scores, history: never(scores, history) if history.shape[1] == begins else scores


def is_loop(tokens: Tensor) -> Tensor:
    """int64 [N, L] -> bool [N]: whether the last tokens are the same few again and again."""
    looping = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for period in range(1, LONGEST_LOOP + 1):
        repeated = max(LOOPED, (FEWEST_ROUNDS - 1) * period)
        if tokens.shape[1] >= repeated + period:
            tail = tokens[:, -repeated - period :]
            looping |= (tail[:, period:] == tail[:, :-period]).all(dim=1)
    return looping


def end_loops(end: int, begins: int) -> Rule:
    """A text that loops ends."""

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        looping = is_loop(history[:, begins:])
        if not looping.any():
            return scores
        ended = torch.full_like(scores, -torch.inf)
        ended[:, end] = 0.0
        return torch.where(looping[:, None], ended, scores)

    return rule


def timestamps(no_timestamps: int, end: int, begins: int, first_at_most: int | None = FIRST_AT_MOST) -> Rule:
    """Timestamps, the tokens after `no_timestamps`, come in pairs but before the end, none before an earlier one; one
    comes first, at most `first_at_most` steps from the start; and where all of them together are likelier than any
    other token, one of them comes (Radford et al. 2023, arXiv:2212.04356).
    """
    first_stamp = no_timestamps + 1

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, no_timestamps] = -torch.inf
        texts, stamps = scores[:, :first_stamp], scores[:, first_stamp:]  # views
        written = history[:, begins:]
        if not written.shape[1]:
            texts.fill_(-torch.inf)
            if first_at_most is not None:
                stamps[:, first_at_most + 1 :] = -torch.inf
        else:
            is_stamp = written >= first_stamp
            closes = is_stamp[:, -1]
            opens = closes & (is_stamp[:, -2] if written.shape[1] > 1 else True)
            closes = closes & ~opens
            stamps.masked_fill_(opens[:, None], -torch.inf)
            texts[:, :end].masked_fill_(closes[:, None], -torch.inf)
            # No stamp before the last one; that one itself only as the second of a pair.
            last = torch.where(is_stamp, written, 0).amax(dim=1, keepdim=True)  # [N, 1]
            earliest = torch.where(closes[:, None], last, last + 1) * (last > 0)
            numbers = torch.arange(first_stamp, scores.shape[1], device=scores.device)
            stamps.masked_fill_(numbers < earliest, -torch.inf)
        logprobs = scores.log_softmax(dim=1)
        likelier = logprobs[:, first_stamp:].logsumexp(dim=1) > logprobs[:, :first_stamp].amax(dim=1)
        texts.masked_fill_(likelier[:, None], -torch.inf)
        return scores

    return rule
