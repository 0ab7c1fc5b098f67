"""Values of different lengths padded into a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def column(items: Sequence[dict[str, Tensor] | None], name: str) -> list[Tensor | None]:
    """The tensor `name` of each record, None of one that lacks the input."""
    return [None if item is None else item[name] for item in items]


def pad_sequences(
    sequences: Sequence[Tensor | None],
    shape: Sequence[int] = (),
    dtype: torch.dtype = torch.float32,
    fill: int = 0,
    shortest: int = 1,
) -> tuple[Tensor, Tensor]:
    """Tensors [L_i, *shape], None where absent -> [B, L, *shape], L the longest's, and the mask, bool [B, L]. `fill`
    stands beyond the end of each. L is `shortest` where all are absent, and at least that."""
    lengths = [0 if sequence is None else len(sequence) for sequence in sequences]
    longest = max([shortest, *lengths])
    batch = torch.zeros(len(sequences), longest, *shape, dtype=dtype)
    if fill:
        batch.fill_(fill)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        if sequence is not None:
            batch[row, :length] = sequence
    return batch, torch.arange(longest) < torch.tensor(lengths)[:, None]
