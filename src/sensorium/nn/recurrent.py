"""Recurrent layers over sequences of different lengths, with no step taken on padding."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Cell = Literal["gru", "lstm"]


class Recurrent(nn.Module):
    """`depth` layers of GRU (Cho et al. 2014, arXiv:1406.1078) or LSTM (Hochreiter and Schmidhuber 1997) cells.

    inputs: width E of what comes in. width: D of what goes out; of two directions each has half of it. dropout: between
    layers. The state is float32 under autocast: it is a sum over the whole sequence. Raises ValueError when `width` is
    odd and there are two directions."""

    def __init__(self, inputs: int, width: int, depth: int, cell: Cell, bidirectional: bool, dropout: float = 0.0):
        super().__init__()
        check_two_directions(width, bidirectional)
        layer_type, size = nn.GRU if cell == "gru" else nn.LSTM, width // 2 if bidirectional else width
        options = {"dropout": dropout if depth > 1 else 0.0, "bidirectional": bidirectional}
        self.layers = layer_type(inputs, size, depth, batch_first=True, **options)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's outputs, float32 [B, T, D], zero where masked, and its last states, float32 [B, D]. x: float
        [B, T, E]. mask: bool [B, T]; a row's real steps are its first ones, at least one. The last state of the
        direction that reads backwards is the one after the row's first step."""
        lengths = mask.sum(dim=1).cpu()
        with torch.autocast(x.device.type, enabled=False):
            packed = pack_padded_sequence(x.float(), lengths, batch_first=True, enforce_sorted=False)
            outputs, states = self.layers(packed)
        hidden = states[0] if isinstance(states, tuple) else states  # [depth * directions, B, D / directions]
        tokens, _ = pad_packed_sequence(outputs, batch_first=True, total_length=mask.shape[1])
        directions = 2 if self.layers.bidirectional else 1
        return tokens, torch.cat(list(hidden[-directions:]), dim=-1)


def check_two_directions(width: int, bidirectional: bool) -> None:
    """Raises ValueError when two directions have to share an odd `width`."""
    if bidirectional and width % 2:
        raise ValueError(f"width ({width}) is shared by two directions, so it must be even; take {width + 1}")
