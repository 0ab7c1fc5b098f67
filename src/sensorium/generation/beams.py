"""Beam search: the best few unfinished texts are kept at each step, and the best finished ones in a pool beside them.

Its steps and scores are those of Transformers, so that the same decoder gives the same texts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sensorium.generation.decoder import Decoder, StateT, Written
from sensorium.generation.rules import Rule, apply_rules
from sensorium.generation.settings import Generation
from sensorium.generation.stops import Stops

NEVER = -1e9  # the score of a beam that there is not; a sum with it stays finite


@dataclass
class Texts:
    """Texts of A samples, m each: tokens int64 [A, m, limit]; logprobs float32 of that shape; score float32 [A, m];
    length int64 [A, m], of their own tokens; ended bool [A, m]: by itself, or for want of room.
    """

    tokens: Tensor
    logprobs: Tensor
    score: Tensor
    length: Tensor
    ended: Tensor

    @classmethod
    def none(cls, samples: int, count: int, limit: int, pad: int, device: torch.device) -> "Texts":
        """Texts that there are not."""
        shape = samples, count
        return cls(
            torch.full((*shape, limit), pad, device=device),
            torch.zeros(*shape, limit, device=device),
            torch.full(shape, NEVER, device=device),
            torch.zeros(shape, dtype=torch.long, device=device),
            torch.zeros(shape, dtype=torch.bool, device=device),
        )

    def take(self, index: Tensor) -> "Texts":
        """The texts `index`, int64 [A, n], of each sample."""
        deep = index[..., None].expand(-1, -1, self.tokens.shape[2])
        return Texts(
            self.tokens.gather(1, deep),
            self.logprobs.gather(1, deep),
            *(tensor.gather(1, index) for tensor in (self.score, self.length, self.ended)),
        )

    def rows(self, index: Tensor) -> "Texts":
        """The samples `index`, int64 [n]."""
        return Texts(*(tensor[index] for tensor in vars(self).values()))

    def put(self, index: Tensor, samples: "Texts") -> None:
        """Puts `samples` in the place of the samples `index`, int64 [n]."""
        for name, tensor in vars(self).items():
            tensor[index] = getattr(samples, name)

    def joined(self, added: "Texts") -> "Texts":
        """The texts of both, of each sample."""
        return Texts(*(torch.cat(pair, dim=1) for pair in zip(vars(self).values(), vars(added).values(), strict=True)))


def search_beams(
    decoder: Decoder[StateT],
    logits: Tensor,
    state: StateT,
    settings: Generation,
    rules: list[Rule],
    stops: Stops,
    limit: int,
) -> Written:
    """The `settings.best` texts of each sample, of at most `limit` tokens. logits: float32 [B, V], of the first."""
    special, device, beams = decoder.special, logits.device, settings.beams
    samples = torch.arange(len(logits), device=device)  # [A], those that are still being written
    results = Texts.none(len(logits), beams, limit, special.pad, device)
    pool, running = results.rows(samples), results.rows(samples)
    running.score[:, 0] = 0.0  # all beams are equal at first, so only the first of them counts
    logits, state = logits.repeat_interleave(beams, dim=0), state.take(samples[:, None].expand(-1, beams))
    start = torch.tensor(special.start, dtype=torch.long, device=device)
    for step in range(limit):
        candidates, beam = _continue(logits, running, rules, start, step, special.ends)
        _mark_ended(candidates, stops, special.ends, step)
        pool = _collect(pool, candidates, settings, step + special.forced, limit + special.forced)
        # The best that go on.
        score = torch.where(candidates.ended, candidates.score + NEVER, candidates.score)
        going = score.topk(beams, dim=1).indices  # [A, k]
        running, beam = candidates.take(going), beam.gather(1, going)
        running.score = score.gather(1, going)
        # Samples whose search is over leave; the state follows the beams.
        searching = _can_improve(pool, running, settings, step + special.forced, limit + special.forced)
        results.put(samples[~searching], pool.rows(~searching))
        if not searching.any():
            break
        rows = torch.arange(beam.numel(), device=device).view_as(beam)
        index = rows[:, :1].add(beam)[searching]  # [A, k]
        samples, pool, running = samples[searching], pool.rows(searching), running.rows(searching)
        if not torch.equal(index, rows):
            state = state.take(index)
        logits = decoder.step(running.tokens[:, :, step].flatten(), state)
    return _written(results, settings.best, special.pad)


def _continue(
    logits: Tensor, running: Texts, rules: list[Rule], start: Tensor, step: int, ends: tuple[int, ...]
) -> tuple[Texts, Tensor]:
    """The best continuations of each sample's beams by one token, enough of them that as many as there are beams go on;
    and which beam, int64 [A, m], each continues.
    """
    samples, beams = running.score.shape
    logprobs, history = logits.log_softmax(dim=1), running.tokens[:, :, :step].flatten(0, 1)
    scores = apply_rules(rules, logprobs, torch.cat([start.expand(len(history), -1), history], dim=1))
    scores = scores.unflatten(0, (samples, beams)) + running.score[..., None]  # [A, k, V]
    vocabulary, count = scores.shape[2], max(2, 1 + len(ends)) * beams
    score, picked = scores.flatten(1).topk(min(count, beams * vocabulary), dim=1)  # [A, m]
    beam, token = picked // vocabulary, picked % vocabulary
    candidates = running.take(beam)
    candidates.tokens[:, :, step] = token
    candidates.logprobs[:, :, step] = logprobs.view(samples, -1).gather(1, picked)
    candidates.score = score.float()
    return candidates, beam


def _mark_ended(candidates: Texts, stops: Stops, ends: tuple[int, ...], step: int) -> None:
    """Says of the candidates which have ended, and their lengths."""
    token = candidates.tokens[:, :, step]
    candidates.ended = torch.isin(token, torch.tensor(ends, device=token.device))
    candidates.length = torch.where(candidates.ended, step, step + 1)
    if stops.texts:
        cut = stops.cuts(candidates.tokens[:, :, : step + 1].flatten(0, 1)).view_as(token)
        candidates.length = torch.where(cut >= 0, cut, candidates.length)
        candidates.ended = candidates.ended | (cut >= 0)


def _collect(pool: Texts, candidates: Texts, settings: Generation, step: int, limit: int) -> Texts:
    """The best finished texts: those of the pool, and of the best candidates those that end here."""
    best = torch.arange(candidates.score.shape[1], device=candidates.score.device) < settings.beams
    joins = (candidates.ended | (step + 1 == limit)) & best
    score = candidates.score / (step + 1) ** settings.length_penalty
    if settings.early_stopping is True:
        joins = joins & ~(pool.score > NEVER / 2).all(dim=1, keepdim=True)
    finishing = Texts(
        candidates.tokens, candidates.logprobs, torch.where(joins, score, NEVER), candidates.length, joins
    )
    finishing.ended = candidates.ended
    merged = pool.joined(finishing)
    return merged.take(merged.score.topk(settings.beams, dim=1).indices)


def _can_improve(pool: Texts, running: Texts, settings: Generation, step: int, limit: int) -> Tensor:
    """bool [A]: whether a beam that goes on may still end above one of the pool, as Transformers judges it."""
    full = pool.score > NEVER / 2
    length = limit if settings.early_stopping == "never" and settings.length_penalty > 0 else step + 1
    possible = running.score[:, :1] / length**settings.length_penalty
    worst = torch.where(full, pool.score.min(dim=1, keepdim=True).values, NEVER)  # [A, k]
    improves = (possible > worst).any(dim=1) & (running.score[:, 0] > NEVER / 2)
    if settings.early_stopping is True:
        improves = improves & ~full.all(dim=1)
    return improves & (step + 1 < limit)


def _written(texts: Texts, best: int, pad: int) -> Written:
    exists = texts.score > NEVER / 2
    length = torch.where(exists, texts.length, 0)
    own = torch.arange(texts.tokens.shape[2], device=length.device) < length[..., None]
    longest = int(length[:, :best].max()) if length.numel() else 0
    return Written(
        torch.where(own, texts.tokens, pad)[:, :best, :longest],
        torch.where(own, texts.logprobs, 0.0)[:, :best, :longest],
        torch.where(exists, texts.logprobs.sum(dim=2), -torch.inf)[:, :best],
        torch.where(exists, texts.score, -torch.inf)[:, :best],
        (texts.ended & exists)[:, :best],
    )
