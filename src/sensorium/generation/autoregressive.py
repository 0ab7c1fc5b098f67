"""Writing a text with any decoder, token by token: greedy, by beams or sampled. A row leaves the batch when it ends."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sensorium.features import Features
from sensorium.generation.beams import search_beams
from sensorium.generation.decoder import Decoder, SpecialTokens, State, StateT, Written
from sensorium.generation.rules import Rule, apply_rules, rules_of
from sensorium.generation.settings import Generation
from sensorium.generation.stops import Spell, Stops

__all__ = ["Decoder", "SpecialTokens", "State", "Written", "generate"]

Stream = Callable[[int, int], None]
"""Called with a row and the token that it goes on with."""


@torch.no_grad()
def generate(
    decoder: Decoder[StateT],
    fused: Features,
    settings: Generation,
    keys: Sequence[str] = (),
    spell: Spell | None = None,
    stream: Stream | None = None,
    prompt: Tensor | None = None,
    rules: Sequence[Rule] = (),
) -> Written:
    """The texts that `decoder` writes over `fused`.

    settings: its texts as tokens, see `Generation.as_tokens`. keys: of each row's record, which its samples follow
    from; without keys all rows draw the same numbers. spell: tokens -> text, for stop texts. stream: hears each token
    of the first text of a row, the end of samples too; of beams when the search is over. prompt: see `Decoder.begin`.
    rules: the decoder's own, before those of the settings.
    """
    logits, state = decoder.begin(fused, prompt)
    rules, stops = [*rules, *rules_of(settings, decoder.special)], Stops(settings.stop, spell)
    limit = min(settings.max_tokens or decoder.context, decoder.context)
    if settings.beams == 1:
        return _write(decoder, logits, state, settings, rules, stops, limit, keys, stream)
    written = search_beams(decoder, logits, state, settings, rules, stops, limit)
    if stream is not None:
        for row, tokens in enumerate(written.tokens[:, 0]):
            for token in tokens[tokens != decoder.special.pad].tolist():
                stream(row, token)
    return written


def _write(
    decoder: Decoder[StateT],
    logits: Tensor,
    state: StateT,
    settings: Generation,
    rules: list[Rule],
    stops: Stops,
    limit: int,
    keys: Sequence[str],
    stream: Stream | None,
) -> Written:
    """Greedy, or `settings.best` samples a row."""
    special, device, best = decoder.special, logits.device, settings.best
    running = torch.arange(len(logits) * best, device=device)  # [N], those that are still being written
    if best > 1:  # each sample is a row of its own, which ends by itself
        rows = running // best
        logits, state = logits[rows], state.take(rows[:, None])
    start = torch.tensor(special.start, dtype=torch.long, device=device)
    history = torch.cat([start.expand(len(running), -1), running.new_full((len(running), limit), special.pad)], dim=1)
    logprobs, ends = torch.zeros(len(running), limit, device=device), torch.tensor(special.ends, device=device)
    lengths, finished = torch.full_like(running, limit), torch.zeros_like(running, dtype=torch.bool)
    draws = _uniform(settings, keys, len(running), limit).to(device) if settings.temperature else None
    for step in range(limit):
        prefix = history[running, : len(start) + step] if rules or stops.texts else None
        scores = apply_rules(rules, logits, prefix)
        token = scores.argmax(dim=1) if draws is None else pick(scores, settings, draws[running, step])
        logprobs[running, step] = logits.gather(1, token[:, None])[:, 0] - logits.logsumexp(dim=1)
        history[running, len(start) + step] = token
        # Which rows end: by an end token, or by a text that stops them.
        ended = torch.isin(token, ends)
        lengths[running[ended]] = step
        if stops.texts:
            cut = stops.cuts(history[running, len(start) : len(start) + step + 1])
            lengths[running[cut >= 0]] = cut[cut >= 0]
            ended |= cut >= 0
        if stream is not None:
            for row, next_token in zip(running.tolist(), token.tolist(), strict=True):
                if row % best == 0:
                    stream(row // best, next_token)
        # Rows that have ended leave the batch.
        if ended.any():
            finished[running[ended]] = True
            staying = (~ended).nonzero()[:, 0]
            running, token = running[staying], token[staying]
            if len(running) and step + 1 < limit:
                state = state.take(staying[:, None])
        if not len(running) or step + 1 == limit:
            break
        logits = decoder.step(token, state)
    return _best_first(history[:, len(start) :], logprobs, lengths, finished, special.pad, best)


def _best_first(tokens: Tensor, logprobs: Tensor, lengths: Tensor, finished: Tensor, pad: int, best: int) -> Written:
    """What was written by [B * n] rows, as the n texts of each, the likeliest first."""
    score = logprobs.sum(dim=1).unflatten(0, (-1, best))  # [B, n]
    own = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    longest = int(lengths.max()) if len(lengths) else 0
    tokens = torch.where(own, tokens, pad)[:, :longest].unflatten(0, (-1, best))
    logprobs = torch.where(own, logprobs, 0.0)[:, :longest].unflatten(0, (-1, best))
    score, order = score.sort(dim=1, descending=True, stable=True)
    index = order[..., None].expand_as(tokens)
    return Written(
        tokens.gather(1, index), logprobs.gather(1, index), score, score, finished.view_as(order).gather(1, order)
    )


def pick(scores: Tensor, settings: Generation, draws: Tensor) -> Tensor:
    """int64 [N]: of each row of scores, float [N, V], the token at which the distribution function exceeds the row's
    number of `draws`, float64 [N] in [0, 1).
    """
    logits, token = (scores.double() / settings.temperature), None
    if settings.top_k is not None or settings.top_p < 1:
        count = min(settings.top_k or logits.shape[1], logits.shape[1])
        logits, token = logits.topk(count, dim=1)
    probabilities = logits.softmax(dim=1)
    cumulative = probabilities.cumsum(dim=1)
    if settings.top_p < 1:
        probabilities = torch.where(cumulative - probabilities < settings.top_p, probabilities, 0.0)
        cumulative = probabilities.cumsum(dim=1)
    index = torch.searchsorted(cumulative, (draws * cumulative[:, -1])[:, None], right=True)  # [N, 1]
    likely = probabilities > 0
    last = likely.shape[1] - 1 - likely.flip(1).int().argmax(dim=1, keepdim=True)  # rounding takes none that is zero
    index = torch.minimum(index, last)
    return (index if token is None else token.gather(1, index))[:, 0]


def _uniform(settings: Generation, keys: Sequence[str], rows: int, limit: int) -> Tensor:
    """float64 [rows, limit] in [0, 1): each number follows from the seed, the record's key, which of its samples it is,
    and the step.
    """
    numbers = np.empty((rows, limit))
    for row in range(rows):
        key = keys[row // settings.best] if keys else ""
        text = f"{settings.seed}\0{key}\0{row % settings.best}"
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
        numbers[row] = np.random.Generator(np.random.Philox(key=seed)).random(limit)
    return torch.from_numpy(numbers)
