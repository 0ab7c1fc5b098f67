"""Graph attention between the tokens of inputs."""

import torch
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.fusion.graph import GraphConfig, joined, stacked_weights, with_itself
from sensorium.fusion.separate import mean_of_inputs
from sensorium.nn.graph import GraphStack
from sensorium.nn.inputs import Inputs


class TokenGraph(nn.Module):
    """GATv2 as in `graph`, with each input's tokens as nodes: a token reads all tokens of its own input and of the
    inputs joined to it.

    Every token has its input's embedding. `pooled` is the mean over the present inputs of the mean of their tokens.
    The work grows with the square of the number of tokens, times the width, many times that of `transformer`."""

    Config = GraphConfig
    reads = "tokens"
    gives_experts = False
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
        tokens_by_input = tokens.split([input_mask.shape[1] for input_mask in masks], dim=1)
        return Features(tokens, mask, mean_of_inputs(tokens_by_input, masks))

    def weights(self, features: dict[str, Features]) -> Tensor:
        """How much each token reads of each, float32 [B, layers, heads, T, T] for T tokens of all inputs together."""
        _, mask, weights = self._run(features)
        return stacked_weights(weights, mask)

    def _run(self, features: dict[str, Features]) -> tuple[Tensor, Tensor, list[Tensor]]:
        packed = self.inputs.packed(features)
        tokens = torch.cat([packing.pad(x + self.modality[i]) for i, (x, packing) in enumerate(packed.values())], dim=1)
        mask = torch.cat([features[name].mask for name in packed], dim=1)  # [B, T]
        lengths = torch.tensor([features[name].mask.shape[1] for name in packed], device=mask.device)
        # Tokens are joined as their inputs are.
        input_of_token = torch.arange(len(lengths), device=mask.device).repeat_interleave(lengths)  # [T]
        graph = self.joined[input_of_token][:, input_of_token]  # [T, T]
        tokens, weights = self.stack(tokens, with_itself(graph & mask[:, None]))
        return torch.where(mask[..., None], tokens, 0.0), mask, weights
