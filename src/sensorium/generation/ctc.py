"""The text of a sequence of frames by connectionist temporal classification (Graves et al. 2006): each frame has a
label or a blank; labels that repeat without a blank between them are one, and blanks are left out.

Everywhere: logprobs float [B, T, V], a frame's logarithms of probabilities, `blank` one of the V; lengths int64 [B],
how many frames are real. Texts are int64 [B, L], filled with `blank`.
"""

import torch
from torch import Tensor


def frames_needed(tokens: Tensor, counts: Tensor) -> Tensor:
    """int64 [B]: the fewest frames that can say the first `counts`, int64 [B], of `tokens`, int64 [B, L]: one each, and
    a blank between two that are equal.
    """
    follows = torch.arange(1, tokens.shape[1], device=tokens.device) < counts[:, None]
    return counts + ((tokens[:, 1:] == tokens[:, :-1]) & follows).sum(dim=1)


def greedy_texts(logprobs: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """int64 [B, L]: the text of the likeliest label of each frame."""
    path = logprobs.argmax(dim=2)  # [B, T]
    first = torch.ones_like(path, dtype=torch.bool)
    first[:, 1:] = path[:, 1:] != path[:, :-1]
    real = torch.arange(path.shape[1], device=path.device) < lengths[:, None]
    counted = first & real & (path != blank)
    order = counted.int().argsort(dim=1, descending=True, stable=True)
    tokens = torch.where(counted, path, blank).gather(1, order)
    return tokens[:, : int(counted.sum(dim=1).max())] if len(tokens) else tokens[:, :0]


def text_logprobs(logprobs: Tensor, lengths: Tensor, tokens: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """float64 [B, L], the logarithm of each token's probability after the earlier ones of its text, zero beyond its
    end; and float64 [B], that of the whole text, over all the ways in which the frames can say it.
    """
    rows, longest = tokens.shape
    logprobs, counts = logprobs.double(), (tokens != blank).sum(dim=1)
    never = logprobs.new_full((rows, 1), -torch.inf)
    # After s tokens, s from 0 to L: the frame is a blank, or it is the last of them.
    on_blank = torch.cat([torch.zeros_like(never), never.expand(-1, longest)], dim=1)  # [B, L + 1]
    on_token, prefix = never.expand(-1, longest + 1), on_blank
    repeats = torch.cat([torch.zeros_like(tokens[:, :1]).bool(), tokens[:, 1:] == tokens[:, :-1]], dim=1)[:, :longest]
    for frame in range(logprobs.shape[1]):
        label = logprobs[:, frame].gather(1, tokens)  # [B, L]
        before = torch.where(repeats, -torch.inf, on_token[:, :-1])
        arrives = torch.cat([never, torch.logaddexp(on_blank[:, :-1], before) + label], dim=1)
        stays = torch.cat([never, on_token[:, 1:] + label], dim=1)
        blanks = torch.logaddexp(on_blank, on_token) + logprobs[:, frame, blank, None]
        real = (frame < lengths)[:, None]
        on_blank = torch.where(real, blanks, on_blank)
        on_token = torch.where(real, torch.logaddexp(arrives, stays), on_token)
        prefix = torch.where(real, torch.logaddexp(prefix, arrives), prefix)
    total = torch.logaddexp(on_blank, on_token).gather(1, counts[:, None])[:, 0]
    each = torch.where(prefix[:, 1:] > -torch.inf, prefix[:, 1:] - prefix[:, :-1], -torch.inf)
    return torch.where(tokens == blank, 0.0, each), total


def beam_texts(logprobs: Tensor, lengths: Tensor, beams: int, blank: int) -> tuple[Tensor, Tensor]:
    """int64 [B, beams, L], the likeliest texts that a search by prefixes finds, best first, and float64 [B, beams], the
    logarithm of what it counts of their probability; minus infinity where there is no further text.

    Ways that give one prefix are added up (Hannun et al. 2014, arXiv:1408.2873).
    """
    rows, frames, _ = logprobs.shape
    logprobs = logprobs.double()
    tokens = torch.full((rows, beams, frames + 1), blank, device=logprobs.device)
    counts = torch.zeros(rows, beams, dtype=torch.long, device=logprobs.device)
    on_token = logprobs.new_full((rows, beams), -torch.inf)
    on_blank = on_token.clone()
    on_blank[:, 0] = 0.0
    for frame in range(frames):
        state = (tokens, counts, on_blank, on_token)
        ahead = _advance(*state, logprobs[:, frame], blank)
        real = frame < lengths
        tokens, counts, on_blank, on_token = (
            torch.where(real.view(-1, *[1] * (new.dim() - 1)), new, old) for new, old in zip(ahead, state, strict=True)
        )
    score, order = torch.logaddexp(on_blank, on_token).sort(dim=1, descending=True, stable=True)
    tokens = tokens.gather(1, order[..., None].expand_as(tokens))
    return tokens[..., : int(counts.max()) if rows else 0], score


def _advance(
    tokens: Tensor, counts: Tensor, on_blank: Tensor, on_token: Tensor, logprobs: Tensor, blank: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The beams after one more frame, whose `logprobs` are [B, V]. tokens: int64 [B, K, L], of which `counts`, int64
    [B, K], are written; on_blank, on_token: float [B, K], of the ways that end in a blank or in the last token.
    """
    beams, vocabulary = tokens.shape[1], logprobs.shape[1]
    both = torch.logaddexp(on_blank, on_token)
    end = (counts - 1).clamp(min=0)[..., None]
    last = tokens.gather(2, end)[..., 0]  # [B, K], blank of an empty text
    again = logprobs.gather(1, last)
    # 1. Texts that grow by a token: by their last one again only after a blank.
    grown = both[..., None] + logprobs[:, None]  # [B, K, V]
    grown = grown.scatter(2, last[..., None], (on_blank + again)[..., None])
    grown[..., blank] = -torch.inf
    # 2. Where beam i grows into what beam j already is, j takes it.
    longest = int(counts.max())
    parent = tokens.scatter(2, end, blank)[:, None, :, :longest]
    same = (tokens[:, :, None, :longest] == parent).all(dim=3) & ((counts > 0) & (both > -torch.inf))[
        :, None
    ]  # [B, i, j]
    into = last[:, None].expand(-1, beams, -1)
    joined = torch.where(same, grown.gather(2, into), -torch.inf).logsumexp(dim=1)  # [B, j]
    grown = grown.scatter_reduce(2, into, torch.where(same, -torch.inf, torch.inf).to(grown.dtype), "amin")
    # 3. The best of those that stay and those that grow.
    stays_blank, stays_token = both + logprobs[:, blank, None], torch.logaddexp(on_token + again, joined)
    scores, index = torch.cat([torch.logaddexp(stays_blank, stays_token), grown.flatten(1)], dim=1).topk(beams, dim=1)
    grows = index >= beams
    parents = torch.where(grows, (index - beams) // vocabulary, index)
    label = torch.where(grows, (index - beams) % vocabulary, blank)
    counts = counts.gather(1, parents)
    tokens = tokens.gather(1, parents[..., None].expand_as(tokens))
    tokens = tokens.scatter(2, counts[..., None], label[..., None])  # a text that stays gets the blank that was there
    return (
        tokens,
        counts + grows,
        torch.where(grows, -torch.inf, stays_blank.gather(1, parents)),
        torch.where(grows, scores, stays_token.gather(1, parents)),
    )
