"""Beam search with as many places as beams: a sequence that has ended keeps its place among the likeliest."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sensorium.generation.decoder import SpecialTokens, StateT


class BeamResult(NamedTuple):
    """tokens: int64 [B, k, L], sequences from their first token to `end`, then `pad`, the likeliest first.

    likely: float32 [B, k], the logarithm of each sequence's probability; minus infinity where there is no further one.
    """

    tokens: Tensor
    likely: Tensor


def beam_search(
    step: Callable[[Tensor, StateT], Tensor],
    state: StateT,
    first: Tensor,
    special: SpecialTokens,
    longest: int,
    beams: int,
) -> BeamResult:
    """The `beams` likeliest sequences of each sample that are found when the best `beams` are kept at each step.

    step: int64 [N], the next token of each row of the state, which grows by it -> float32 [N, V], the logits of the
    token after it. state: before any step, a row a sample. first: int64 [B], each sample's first token.

    A sequence has at most `longest` tokens; one that has not ended by then counts as it stands. One beam is greedy
    search. A sample whose beams have all ended leaves the batch, so that no step is spent on it.
    """
    samples = torch.arange(len(first), device=first.device)  # [A], those that are still being written
    tokens = torch.full((len(first), beams, longest), special.pad, device=first.device)
    tokens[:, :, 0] = first[:, None]
    likely = torch.zeros(len(first), beams, device=first.device)
    likely[:, 1:] = -torch.inf  # all beams are equal at first, so only the first of them counts
    running = torch.ones_like(likely, dtype=torch.bool)  # [A, k]
    state = state.take(samples[:, None].expand(-1, beams))
    for length in range(1, longest):
        prefixes = tokens[samples, :, :length]  # [A, k, length]
        logits = step(prefixes[:, :, -1].flatten(), state)  # [A * k, V]
        logprobs = next_token_logprobs(logits.unflatten(0, running.shape), running, special.pad)
        # The best continuations: which beam each continues, and with which token.
        vocabulary = logprobs.shape[2]
        scores, picked = (likely[samples][..., None] + logprobs).flatten(1).topk(beams, dim=1)  # [A, k]
        beam, token = picked // vocabulary, picked % vocabulary
        likely[samples] = scores.float()
        tokens[samples, :, :length] = prefixes.gather(1, beam[..., None].expand_as(prefixes))
        tokens[samples, :, length] = token
        # Samples that have ended leave; the state follows the beams.
        running = running.gather(1, beam) & (token != special.end) & (scores > -torch.inf)
        unfinished = running.any(dim=1)
        if not unfinished.any():
            return BeamResult(tokens[..., : length + 1], likely)
        rows = torch.arange(picked.numel(), device=first.device).view_as(picked)
        index = rows.gather(1, beam)[unfinished]
        if not torch.equal(index, rows):
            state = state.take(index)
        samples, running = samples[unfinished], running[unfinished]
    return BeamResult(tokens, likely)


def next_token_logprobs(logits: Tensor, running: Tensor, pad: int) -> Tensor:
    """float32 [A, k, V], the logits of the next token -> the logarithms of its probabilities.

    A beam that is not `running`, bool [A, k], is followed by `pad` for certain, so that it stays as it is.
    """
    padding = torch.full_like(logits[:1, :1], -torch.inf)  # [1, 1, V]
    padding[..., pad] = 0.0
    return torch.where(running[..., None], logits.log_softmax(dim=2), padding)
