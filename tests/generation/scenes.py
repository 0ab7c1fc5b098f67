"""Beam search as it is written down, one sample at a time and without a cache."""

from collections.abc import Callable

import torch


def plain_beam_search(
    logits: Callable[[list[int]], torch.Tensor], first: int, end: int, longest: int, beams: int
) -> list[tuple[float, list[int]]]:
    """The beams of one sample, the likeliest first: the logarithm of each one's probability and its tokens.

    logits: a whole prefix -> float [V], the logits of the token after it.
    """
    hypotheses = [(0.0, [first])]
    for _ in range(longest - 1):
        candidates = []
        for score, prefix in hypotheses:
            if len(prefix) > 1 and prefix[-1] == end:
                candidates.append((score, prefix))
                continue
            logprobs = logits(prefix).log_softmax(0).tolist()
            candidates += [(score + logprob, [*prefix, token]) for token, logprob in enumerate(logprobs)]
        hypotheses = sorted(candidates, key=lambda candidate: -candidate[0])[:beams]
    return hypotheses


def assert_same_beams(tokens: torch.Tensor, likely: torch.Tensor, expected: list[tuple[float, list[int]]], pad: int):
    """Checks one sample's beams, int64 [k, L] and float [k], against those of `plain_beam_search`."""
    length = tokens.shape[1]
    padded = [[*sequence, *[pad] * (length - len(sequence))] for _, sequence in expected]
    assert tokens[: len(expected)].tolist() == padded
    scores = torch.tensor([score for score, _ in expected], dtype=likely.dtype)
    torch.testing.assert_close(likely[: len(expected)], scores, rtol=1e-5, atol=1e-5)
    assert (likely[len(expected) :] == -torch.inf).all()
