"""Texts at which writing ends, looked for in what the last tokens spell."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Spell = Callable[[list[int]], str]


class Stops:
    """texts: any of them ends what is written, before it. spell: tokens -> their text."""

    def __init__(self, texts: Sequence[str], spell: Spell | None):
        if texts and spell is None:
            raise ValueError("stop texts need spell, which says what tokens spell")
        self.texts, self.spell = texts, spell
        self.tail = 4 * max(map(len, texts), default=0) + 8  # tokens: a character may take four of them

    def cut(self, tokens: list[int]) -> int | None:
        """How many of `tokens` come before the first stop text; None where there is none. A token in which it begins
        does not count.
        """
        first = max(0, len(tokens) - self.tail)
        text = self.spell(tokens[first:])
        positions = [text.find(stop) for stop in self.texts if stop in text]
        if not positions:
            return None
        lengths = [len(self.spell(tokens[first:end])) for end in range(first, len(tokens) + 1)]
        return first + max(end for end, length in enumerate(lengths) if length <= min(positions))

    def cuts(self, tokens: Tensor) -> Tensor:
        """int64 [N, t] -> int64 [N], `cut` of each row, -1 for None."""
        if not self.texts:
            return tokens.new_full((len(tokens),), -1)
        cuts = [self.cut(row) for row in tokens.tolist()]
        return torch.tensor([-1 if cut is None else cut for cut in cuts], device=tokens.device)
