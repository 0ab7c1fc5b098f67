"""What changes a decoder's scores before a token is taken: repetition, forced and forbidden tokens, choices, length."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sensorium.generation.decoder import SpecialTokens
from sensorium.generation.settings import Generation

Rule = Callable[[Tensor, Tensor], Tensor]
"""float32 [N, V], the scores of the next token, and int64 [N, S + t], the start and what was written -> new scores."""


def rules_of(settings: Generation, special: SpecialTokens) -> list[Rule]:
    """The rules that `settings`, whose texts are tokens, ask for, in the order of Transformers."""
    begins = len(special.start)
    rules: list[Rule] = []
    if settings.repetition_penalty != 1:
        rules.append(repetition(settings.repetition_penalty))
    if settings.no_repeat_ngram:
        rules.append(no_repeat(settings.no_repeat_ngram))
    if settings.forbidden:
        rules.append(forbid(settings.forbidden))
    if settings.min_tokens:
        rules.append(keep_writing(special.ends, begins + settings.min_tokens))
    if settings.choices:
        rules.append(choose(settings.choices, begins))
    if settings.forced:
        rules.append(force(settings.forced, begins))
    return rules


def apply_rules(rules: Sequence[Rule], scores: Tensor, history: Tensor) -> Tensor:
    """float32 [N, V] -> the same after all rules."""
    for rule in rules:
        scores = rule(scores, history)
    return scores


def repetition(penalty: float) -> Rule:
    """Scores of tokens that were written are divided by `penalty`, negative ones multiplied (Keskar et al. 2019,
    arXiv:1909.05858).
    """

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        repeated = scores.gather(1, history)
        return scores.scatter(1, history, torch.where(repeated < 0, repeated * penalty, repeated / penalty))

    return rule


def no_repeat(size: int) -> Rule:
    """No `size` tokens come a second time in the same order."""

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        if history.shape[1] < size:
            return scores
        windows = history.unfold(1, size, 1)  # [N, W, size]
        last = history[:, history.shape[1] - size + 1 :]  # [N, size - 1]
        row, window = (windows[..., :-1] == last[:, None]).all(dim=2).nonzero().unbind(1)
        return scores.index_put((row, windows[row, window, -1]), scores.new_tensor(-torch.inf))

    return rule


def forbid(sequences: Sequence[tuple[int, ...]]) -> Rule:
    """None of `sequences` of tokens is completed."""

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        scores = scores.clone()
        for *first, last in sequences:
            if history.shape[1] >= len(first):
                ending = history[:, history.shape[1] - len(first) :]
                completes = (ending == history.new_tensor(first)).all(dim=1)  # [N]
                scores[completes, last] = -torch.inf
        return scores

    return rule


def keep_writing(ends: tuple[int, ...], length: int) -> Rule:
    """No end before `length` tokens."""

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        if history.shape[1] >= length:
            return scores
        return scores.index_fill(1, torch.tensor(ends, device=scores.device), -torch.inf)

    return rule


def force(tokens: Sequence[int], begins: int) -> Rule:
    """The first tokens are `tokens`."""

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        step = history.shape[1] - begins
        return scores if step >= len(tokens) else _only(scores, [[tokens[step]]] * len(scores))

    return rule


def choose(sequences: Sequence[tuple[int, ...]], begins: int) -> Rule:
    """What is written is one of `sequences`, each with its end."""
    tree: dict[int, Any] = {}
    for sequence in sequences:
        branch = tree
        for token in sequence:
            branch = branch.setdefault(token, {})

    def following(tokens: list[int]) -> list[int]:
        branch = tree
        for token in tokens:
            branch = branch.get(token, {})
        return list(branch)

    def rule(scores: Tensor, history: Tensor) -> Tensor:
        return _only(scores, [following(tokens) for tokens in history[:, begins:].tolist()])

    return rule


def _only(scores: Tensor, allowed: list[list[int]]) -> Tensor:
    """The scores of the tokens that are `allowed` in each row, minus infinity for all others."""
    row = torch.tensor([row for row, tokens in enumerate(allowed) for _ in tokens], dtype=torch.long)
    token = torch.tensor([token for tokens in allowed for token in tokens], dtype=torch.long)
    index = row.to(scores.device), token.to(scores.device)
    return torch.full_like(scores, -torch.inf).index_put(index, scores[index])
