"""Graph attention over dense graphs; with many nodes, their pairs are never all in memory at full width."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.nn.attention import check_heads

FEW = 8  # nodes; up to so many, all pairs are kept, and sums of products are faster than matrix products
SLOPE = 0.2  # of the leaky rectifier below zero
PAIRS = 2**18  # values of pairs at a time: on a CPU they stay in its cache
PAIRS_ELSEWHERE = 2**26


class GraphAttention(nn.Module):
    """GATv2 (Brody et al. 2022, arXiv:2105.14491), of `heads` heads laid side by side. For each head, e_ij = a ·
    LeakyReLU(W h_i + W' h_j), weight_ij is their softmax over i's neighbours j, and node i receives the sum over j of
    weight_ij W' h_j. Both maps have biases."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.asks = nn.Linear(dim, dim)
        self.answers = nn.Linear(dim, dim)
        self.score = nn.Parameter(torch.empty(heads, dim // heads))
        nn.init.xavier_uniform_(self.score)

    def forward(self, x: Tensor, joined: Tensor) -> tuple[Tensor, Tensor]:
        """What each node receives, float [B, N, D], and the weights, float [B, N, N, heads], [:, i] those of node i. x:
        float [B, N, D], the nodes. joined: bool, broadcasts to [B, N, N], True where node i takes from node j; each
        node takes from at least one."""
        asks, answers = self.asks(x), self.answers(x)
        few = x.shape[1] <= FEW
        scores = (self._score_at_once if few else self._score_in_blocks)(asks, answers)  # [B, N, N, heads]
        weights = scores.masked_fill(~joined[..., None], -torch.inf).softmax(dim=2)
        answers = answers.unflatten(-1, (self.heads, -1)).to(weights.dtype)
        if few:
            received = (weights[..., None] * answers[:, None]).sum(dim=2)
        else:
            received = torch.einsum("bijh,bjhd->bihd", weights, answers)
        return received.flatten(2), weights  # [B, N, D]

    def _score_at_once(self, asks: Tensor, answers: Tensor) -> Tensor:
        pairs = F.leaky_relu(asks[:, :, None] + answers[:, None], SLOPE)  # [B, N, N, D]
        return (pairs.unflatten(-1, (self.heads, -1)) * self.score).sum(dim=-1)

    def _score_in_blocks(self, asks: Tensor, answers: Tensor) -> Tensor:
        # `score` of each head in its own column, so that one product gives the scores of all heads.
        return _PairScores.apply(asks, answers, torch.block_diag(*self.score[..., None]).to(asks.dtype))


class GraphStack(nn.Module):
    """`layers` times x + ELU(GATv2(norm(x))), then a norm; `dropout` acts on what is added."""

    def __init__(self, dim: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.attentions = nn.ModuleList(GraphAttention(dim, heads) for _ in range(layers))
        self.added = nn.Sequential(nn.ELU(), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, joined: Tensor) -> tuple[Tensor, list[Tensor]]:
        """float [B, N, D] -> the same shape; each layer's weights [B, N, N, heads]; `joined` as in GraphAttention."""
        weights_by_layer = []
        for norm, attention in zip(self.norms, self.attentions, strict=True):
            received, weights = attention(norm(x), joined)
            x = x + self.added(received)
            weights_by_layer.append(weights)
        return self.norm(x), weights_by_layer


class _PairScores(torch.autograd.Function):
    """LeakyReLU(asks_i + answers_j) @ weight for all i and j: [B, N, D] twice, [D, heads] -> [B, N, N, heads]. A block
    of pairs at a time, computed again in the backward pass: those of 150 nodes would be 11 MB a row."""

    @staticmethod
    def forward(ctx, asks: Tensor, answers: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(asks, answers, weight)
        rows, nodes, _ = asks.shape
        scores = asks.new_empty(rows, nodes, nodes, weight.shape[1])
        for row_slice, node_slice in _blocks(asks):
            pairs = asks[row_slice, node_slice, None] + answers[row_slice, None]  # [rows, nodes of the block, N, D]
            scores[row_slice, node_slice] = F.leaky_relu_(pairs, SLOPE) @ weight
        return scores

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        asks, answers, weight = ctx.saved_tensors
        to_asks, to_answers, to_weight = torch.empty_like(asks), torch.zeros_like(answers), torch.zeros_like(weight)
        for row_slice, node_slice in _blocks(asks):
            pairs = asks[row_slice, node_slice, None] + answers[row_slice, None]  # [rows, nodes of the block, N, D]
            to_scores = gradient[row_slice, node_slice]  # [rows, nodes of the block, N, heads]
            to_weight += F.leaky_relu(pairs, SLOPE).flatten(0, 2).T @ to_scores.flatten(0, 2)
            to_pairs = torch.ops.aten.leaky_relu_backward(to_scores @ weight.T, pairs, SLOPE, False)
            to_asks[row_slice, node_slice] = to_pairs.sum(dim=2)
            to_answers[row_slice] += to_pairs.sum(dim=1)
        return to_asks, to_answers, to_weight


def _blocks(x: Tensor) -> list[tuple[slice, slice]]:
    """Slices of rows and of nodes of `x`, [B, N, D], so small that their pairs with all N fit the budget."""
    budget = PAIRS if x.device.type == "cpu" else PAIRS_ELSEWHERE
    rows, nodes, width = x.shape
    node_step = min(nodes, max(1, budget // (nodes * width)))
    row_step = max(1, budget // (nodes * nodes * width)) if node_step == nodes else 1
    return [
        (slice(row, row + row_step), slice(node, node + node_step))
        for row in range(0, rows, row_step)
        for node in range(0, nodes, node_step)
    ]
