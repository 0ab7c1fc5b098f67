"""Graph attention between the tokens of inputs."""

from typing import Literal

import torch
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.fusion.graph import GraphConfig, joined, with_itself
from sensorium.fusion.separate import mean_of_inputs
from sensorium.nn.graph import GraphStack
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide


class TokenGraph(nn.Module):
    """GATv2 as in `graph`, with each input's tokens as nodes: a token takes from all tokens of its own input and of
    those that are joined to it.

    Every token has its input's embedding. `pooled` is the mean over the present inputs of the mean of their tokens.
    The work grows with the square of the number of tokens, times the width, many times that of `transformer`.
    """

    Config = GraphConfig
    reads: Literal["pooled", "tokens"] = "tokens"
    experts = None

    def __init__(self, config: GraphConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim)
        self.modality = nn.Parameter(torch.randn(len(dims), config.dim) * 0.2)
        self.register_buffer("joined", joined(config.edges, list(dims)), persistent=False)
        self.stack = GraphStack(config.dim, config.layers, config.heads, config.dropout)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input, T1, T2, ... tokens -> tokens float32 [B, T1 + T2 + ..., D], mask, pooled [B, D]."""
        tokens, mask, _ = self._run(features)
        masks = [features[name].mask for name in self.inputs.names]
        parts = tokens.split([part.shape[1] for part in masks], dim=1)
        return Features(tokens, mask, mean_of_inputs(parts, masks))

    def weights(self, features: dict[str, Features]) -> Tensor:
        """What each token took from each, float32 [B, layers, heads, T, T] for T tokens of all inputs together."""
        _, mask, weights = self._run(features)
        found = wide(torch.stack(weights, dim=1)).permute(0, 1, 4, 2, 3)
        return torch.where(mask[:, None, None, :, None], found, 0.0)

    def _run(self, features: dict[str, Features]) -> tuple[Tensor, Tensor, list[Tensor]]:
        packed = self.inputs.packed(features)
        tokens = torch.cat([packing.pad(x + self.modality[i]) for i, (x, packing) in enumerate(packed.values())], dim=1)
        mask = torch.cat([features[name].mask for name in packed], dim=1)  # [B, T]
        lengths = torch.tensor([features[name].mask.shape[1] for name in packed], device=mask.device)
        whose = torch.arange(len(lengths), device=mask.device).repeat_interleave(lengths)  # [T]
        graph = self.joined[whose][:, whose]  # [T, T]
        tokens, weights = self.stack(tokens, with_itself(graph & mask[:, None]))
        return torch.where(mask[..., None], tokens, 0.0), mask, weights
