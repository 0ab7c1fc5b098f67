"""One token from all inputs side by side: all of `Concat`, and what `Hybrid` adds to the single inputs."""

import torch
from torch import Tensor, nn

from sensorium.features import Features


class Joint(nn.Module):
    """An MLP over the concatenated summaries of `inputs` inputs, with a learned vector in the place of an absent one.
    The token is real in rows where at least `fewest` inputs are present."""

    def __init__(self, inputs: int, dim: int, ratio: int, dropout: float, fewest: int):
        super().__init__()
        self.fewest = fewest
        # Where every real token has all its inputs, a learned vector would never be read or trained.
        self.absent = nn.Parameter(torch.zeros(inputs, dim)) if inputs > fewest else None
        rise, fall = nn.Linear(inputs * dim, ratio * dim), nn.Linear(ratio * dim, dim)
        self.mlp = nn.Sequential(rise, nn.GELU(), nn.Dropout(dropout), fall)

    def forward(self, summaries: Tensor, present: Tensor) -> Features:
        """summaries float32 [B, N, D], zero where absent, present bool [B, N] -> one token a row, float32 [B, 1, D]."""
        if self.absent is not None:
            summaries = torch.where(present[..., None], summaries, self.absent)
        token = self.mlp(summaries.flatten(1)).float()  # [B, D]
        return Features.one(token, present.sum(dim=1) >= self.fewest)
