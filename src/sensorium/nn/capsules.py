"""Capsules: vectors whose length says how likely a part is present, and routing of parts to wholes by agreement."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.nn.precision import wide


def squash(x: Tensor) -> Tensor:
    """float [..., D] → float32, the same shape and direction, of a length below 1: |x|² / (1 + |x|²) (Sabour et al.
    2017, arXiv:1710.09829, equation 1)."""
    x = wide(x)
    square = x.square().sum(dim=-1, keepdim=True)
    # The length is a square root and a divisor, so a zero vector would have no finite gradient without the 1e-9.
    return x * (square / ((1 + square) * (square + 1e-9).sqrt()))


class Routed(NamedTuple):
    """wholes: float32 [B, M, D]. shares: float32 [B, N, M], how each part is distributed after the last iteration."""

    wholes: Tensor
    shares: Tensor


def route(votes: Tensor, iterations: int) -> Routed:
    """votes float [B, N, M, D], what each of N parts predicts of each of M wholes → the wholes and the shares. Dynamic
    routing by agreement (Sabour et al. 2017, arXiv:1710.09829, procedure 1): each part is distributed over the wholes,
    and gives more to those that its vote agreed with in the previous of the `iterations`."""
    votes = wide(votes)
    logits = torch.zeros_like(votes[..., 0])  # [B, N, M]
    for iteration in range(iterations):
        shares = logits.softmax(dim=2)
        wholes = squash((shares[..., None] * votes).sum(dim=1))  # [B, M, D]
        if iteration + 1 < iterations:
            logits = logits + (votes * wholes[:, None]).sum(dim=3)
    return Routed(wholes, shares)


class Capsules(nn.Module):
    """N parts → M wholes, by one matrix for each pair, then routing. Raises UserError for less than one iteration."""

    def __init__(self, parts: int, part_dim: int, wholes: int, whole_dim: int, iterations: int = 3):
        super().__init__()
        if iterations < 1:
            raise UserError(f"Routing needs at least one iteration, not {iterations}; three are usual.")
        self.iterations = iterations
        # So the votes of unit parts add up to wholes of about unit length, where squash still has a gradient.
        scale = (wholes / (parts * whole_dim) ** 0.5) ** 0.5
        self.weight = nn.Parameter(torch.randn(parts, wholes, part_dim, whole_dim) * scale)

    def forward(self, parts: Tensor) -> Tensor:
        """float [B, N, part_dim] → float32 [B, M, whole_dim]."""
        return self.routed(parts).wholes

    def routed(self, parts: Tensor) -> Routed:
        """float [B, N, part_dim] → the wholes, [B, M, whole_dim], and the shares, [B, N, M]."""
        votes = torch.einsum("bnp,nmpd->bnmd", parts, self.weight)
        return route(votes, self.iterations)
