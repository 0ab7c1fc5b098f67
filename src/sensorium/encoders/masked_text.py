"""From a text to token numbers, some of which are hidden, and what they were."""

from typing import Any

import torch
from torch import Tensor

from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError

RATE = 0.15  # of the tokens are asked for
HIDDEN, CHANGED = 0.8, 0.1  # of those, the mask token stands for these, any token at all for those; the rest stay
NOT_ASKED = -100


class MaskedTextProcessor:
    """A text → `tokens` int64 [L], of which some are hidden, and `labels` int64 [L]: the true ones there, else -100.

    BERT's rule (Devlin et al. 2018, arXiv:1810.04805): each token is asked for with probability .15; in its place
    stands the mask token in 8 cases of 10, any token of the vocabulary in 1, and itself in 1. Tokens that the tokenizer
    adds, which begin or end a text, are never asked for.

    text: prepares the text itself. Raises UserError when its tokenizer has no mask token.
    """

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(self, text: TextProcessor):
        if text.mask_token is None:
            raise UserError(
                "The tokenizer of the text has no mask token, so no word can be hidden; take an encoder whose tokenizer"
                " has one."
            )
        self.text = text

    def __call__(self, value: str, augment: bool = False) -> dict[str, Tensor]:
        """A text → its tokens and labels. Draws from torch's global random state with `augment`; without, nothing is
        hidden.
        """
        tokens, special = self.text.encode(value)  # [L] twice
        labels = torch.full_like(tokens, NOT_ASKED)
        if augment:
            asked = (torch.rand(len(tokens)) < RATE) & ~special
            labels = torch.where(asked, tokens, labels)
            drawn, others = torch.rand(len(tokens)), torch.randint(self.text.vocabulary, (len(tokens),))
            tokens = torch.where(asked & (drawn >= HIDDEN) & (drawn < HIDDEN + CHANGED), others, tokens)
            tokens = tokens.masked_fill(asked & (drawn < HIDDEN), self.text.mask_token)
        return {"tokens": tokens, "labels": labels}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch of texts, None where one is absent → {"tokens": int64 [B, L], "labels": int64 [B, L], "mask": bool
        [B, L]}, L the longest.
        """
        batch = self.text.pad(items)
        labels = torch.full_like(batch["tokens"], NOT_ASKED)  # [B, L]
        for row, item in enumerate(items):
            if item is not None:
                labels[row, : len(item["labels"])] = item["labels"]
        return batch | {"labels": labels}
