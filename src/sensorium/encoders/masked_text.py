"""From a text to token numbers, some of which are hidden, and the true numbers of these."""

from typing import Any

import torch
from torch import Tensor

from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError

RATE = 0.15  # share of the tokens that are asked for
HIDDEN, CHANGED = 0.8, 0.1  # shares of those replaced by the mask token, and by a random token; the others stay
NOT_ASKED = -100


class MaskedTextProcessor:
    """A text → `tokens` int64 [L], of which some are hidden, and `labels` int64 [L]: the true ones there, else -100.

    BERT's rule (Devlin et al. 2018, arXiv:1810.04805): each token is asked for with probability .15; it is
    replaced by the mask token in 8 cases of 10, by any token of the vocabulary in 1, and stays in 1. Tokens that the
    tokenizer adds at the beginning or end of a text are never asked for.

    text: prepares the text itself. Raises UserError when its tokenizer has no mask token."""

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(self, text: TextProcessor):
        if text.mask_token is None:
            raise UserError(
                "The tokenizer of the text has no mask token, so no word can be hidden; take an encoder whose tokenizer"
                " has one."
            )
        self.text = text

    def __call__(self, value: str, augment: bool = False) -> dict[str, Tensor]:
        """A text → its tokens and labels. Hides with `augment` alone, by torch's global random state."""
        tokens, special = self.text.encode(value)  # [L] twice
        labels = torch.full_like(tokens, NOT_ASKED)
        if augment:
            asked = (torch.rand(len(tokens)) < RATE) & ~special
            labels = torch.where(asked, tokens, labels)
            chance, random_tokens = torch.rand(len(tokens)), torch.randint(self.text.vocabulary, (len(tokens),))
            changed = asked & (chance >= HIDDEN) & (chance < HIDDEN + CHANGED)
            tokens = torch.where(changed, random_tokens, tokens)
            tokens = tokens.masked_fill(asked & (chance < HIDDEN), self.text.mask_token)
        return {"tokens": tokens, "labels": labels}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """Texts, None where absent → `tokens` and `labels` int64 [B, L], `mask` bool [B, L], L the longest."""
        labels, _ = pad_sequences(column(items, "labels"), dtype=torch.int64, fill=NOT_ASKED)
        return self.text.pad(items) | {"labels": labels}
