"""Graph attention between inputs: each input is a node and reads the nodes it is joined to."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.errors import UserError, check_known
from sensorium.features import Features
from sensorium.fusion.separate import mean_of_real
from sensorium.nn.graph import GraphStack
from sensorium.nn.inputs import Inputs
from sensorium.nn.precision import wide


class GraphConfig(BaseModel, frozen=True, extra="forbid"):
    """`edges`: pairs of inputs that read each other (None: all do).

    `dim`: width of a node, a multiple of `heads`; `layers`: how often they read; `dropout` acts on what is added."""

    edges: list[tuple[str, str]] | None = None
    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class Graph(nn.Module):
    """GATv2 over the inputs' summaries (Brody et al. 2022, arXiv:2105.14491), on a complete or a given graph.

    In each layer x_i <- x_i + ELU(Σ_j weight_ij W' norm(x_j)), over input i itself and the present inputs j joined to
    it; the weights, a softmax of a · LeakyReLU(W norm(x_i) + W' norm(x_j)), are given by `weights`. Then a norm;
    `pooled` is the mean of the present nodes. An absent input is no node. A single input has no other node to read.
    Raises UserError for an edge with a name that is no input, or from an input to itself."""

    Config = GraphConfig
    reads = "pooled"
    gives_experts = False

    def __init__(self, config: GraphConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim, self.experts = config, config.dim, len(dims)
        self.inputs = Inputs(dims, config.dim)
        self.register_buffer("joined", joined(config.edges, list(dims)), persistent=False)
        # A single node would have weight 1 whatever its score, so the scores would never be trained.
        self.stack = GraphStack(config.dim, config.layers if len(dims) > 1 else 0, config.heads, config.dropout)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each of N inputs -> tokens float32 [B, N, D], the nodes, mask [B, N], pooled [B, D]."""
        nodes, mask, _ = self._run(features)
        return Features(nodes, mask, mean_of_real(nodes, mask))

    def weights(self, features: dict[str, Features]) -> Tensor:
        """How much each node reads of each, float32 [B, layers, heads, N, N]: row i sums to 1; 0 where i is absent."""
        nodes, mask, weights = self._run(features)
        if not weights:
            return nodes.new_zeros(len(mask), 0, self.config.heads, 1, 1)
        return stacked_weights(weights, mask)

    def _run(self, features: dict[str, Features]) -> tuple[Tensor, Tensor, list[Tensor]]:
        summaries, mask = self.inputs.summaries(features)  # [B, N, D], [B, N]
        nodes, weights = self.stack(summaries, with_itself(self.joined & mask[:, None]))
        return torch.where(mask[..., None], nodes, 0.0), mask, weights


def joined(edges: list[tuple[str, str]] | None, names: list[str]) -> Tensor:
    """Which of N inputs reads which, bool [N, N]: itself, and those that an edge joins to it, or all."""
    if edges is None:
        return torch.ones(len(names), len(names), dtype=torch.bool)
    adjacency = torch.eye(len(names), dtype=torch.bool)
    for edge in edges:
        for name in edge:
            check_known(names, "input", name)
        if edge[0] == edge[1]:
            raise UserError(f"An edge of the graph joins '{edge[0]}' to itself; every input has that one anyway.")
        i, j = (names.index(name) for name in edge)
        adjacency[i, j] = adjacency[j, i] = True
    return adjacency


def with_itself(adjacency: Tensor) -> Tensor:
    """`adjacency`, bool [B, N, N], with an edge from each node to itself, so that each node has at least one."""
    return adjacency | torch.eye(adjacency.shape[-1], dtype=torch.bool, device=adjacency.device)


def stacked_weights(weights: list[Tensor], mask: Tensor) -> Tensor:
    """Layers' weights [B, N, N, heads], mask bool [B, N] -> float32 [B, layers, heads, N, N], 0 for absent nodes."""
    stacked = wide(torch.stack(weights, dim=1)).permute(0, 1, 4, 2, 3)  # [B, layers, heads, N, N]
    return torch.where(mask[:, None, None, :, None], stacked, 0.0)
