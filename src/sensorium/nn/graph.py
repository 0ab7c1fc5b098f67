"""Graph attention over dense graphs; of many nodes, the pairs are never all in memory at full width."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.nn.attention import check_heads

FEW = 8  # nodes; up to so many, their pairs are kept, and sums of products are faster than products of matrices
SLOPE = 0.2  # of the leaky rectifier below zero
PAIRS = 2**18  # values of pairs at a time: on a CPU they stay in its cache
PAIRS_ELSEWHERE = 2**26


class GraphAttention(nn.Module):
    """GATv2 (Brody et al. 2022, arXiv:2105.14491), of `heads` heads laid side by side.

    For each head, e_ij = a · LeakyReLU(W h_i + W' h_j), weight_ij is their softmax over i's neighbours j, and what node
    i gets is the sum over j of weight_ij W' h_j. Both maps have biases.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.asks = nn.Linear(dim, dim)
        self.answers = nn.Linear(dim, dim)
        self.score = nn.Parameter(torch.empty(heads, dim // heads))
        nn.init.xavier_uniform_(self.score)

    def forward(self, x: Tensor, joined: Tensor) -> tuple[Tensor, Tensor]:
        """What each node gets, float [B, N, D], and the weights, float [B, N, N, heads], [:, i] those of node i.

        x: float [B, N, D], the nodes. joined: bool, to [B, N, N], True where node i takes from node j; each node from
        one at least.
        """
        asks, answers = self.asks(x), self.answers(x)
        few = x.shape[1] <= FEW
        scores = (self._plain if few else self._lean)(asks, answers)  # [B, N, N, heads]
        weights = scores.masked_fill(~joined[..., None], -torch.inf).softmax(dim=2)
        answers = answers.unflatten(-1, (self.heads, -1)).to(weights.dtype)
        if few:
            taken = (weights[..., None] * answers[:, None]).sum(dim=2)
        else:
            taken = torch.einsum("bijh,bjhd->bihd", weights, answers)
        return taken.flatten(2), weights

    def _plain(self, asks: Tensor, answers: Tensor) -> Tensor:
        pairs = F.leaky_relu(asks[:, :, None] + answers[:, None], SLOPE)  # [B, N, N, D]
        return (pairs.unflatten(-1, (self.heads, -1)) * self.score).sum(dim=-1)

    def _lean(self, asks: Tensor, answers: Tensor) -> Tensor:
        # Each head's part of `score` in a column of its own, so that one product gives all heads' scores.
        return _Pairs.apply(asks, answers, torch.block_diag(*self.score[..., None]).to(asks.dtype))


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
        found = []
        for norm, attention in zip(self.norms, self.attentions, strict=True):
            taken, weights = attention(norm(x), joined)
            x = x + self.added(taken)
            found.append(weights)
        return self.norm(x), found


class _Pairs(torch.autograd.Function):
    """LeakyReLU(left_i + right_j) @ weight for all i and j: [B, N, D] twice, [D, heads] -> [B, N, N, heads].

    Some pairs at a time, and computed again backwards: those of 150 nodes would be 11 MB a row.
    """

    @staticmethod
    def forward(ctx, left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(left, right, weight)
        rows, nodes, _ = left.shape
        out = left.new_empty(rows, nodes, nodes, weight.shape[1])
        for part, some in _parts(left):
            pairs = left[part, some, None] + right[part, None]  # [rows, some, N, D]
            out[part, some] = F.leaky_relu_(pairs, SLOPE) @ weight
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left, right, weight = ctx.saved_tensors
        to_left, to_right, to_weight = torch.empty_like(left), torch.zeros_like(right), torch.zeros_like(weight)
        for part, some in _parts(left):
            pairs = left[part, some, None] + right[part, None]  # [rows, some, N, D]
            one = gradient[part, some]
            to_weight += F.leaky_relu(pairs, SLOPE).flatten(0, 2).T @ one.flatten(0, 2)
            to_pairs = torch.ops.aten.leaky_relu_backward(one @ weight.T, pairs, SLOPE, False)
            to_left[part, some] = to_pairs.sum(dim=2)
            to_right[part] += to_pairs.sum(dim=1)
        return to_left, to_right, to_weight


def _parts(x: Tensor) -> list[tuple[slice, slice]]:
    """Slices of rows and of nodes of `x`, [B, N, D], few enough that their pairs with all N are held at once."""
    budget = PAIRS if x.device.type == "cpu" else PAIRS_ELSEWHERE
    rows, nodes, width = x.shape
    some = min(nodes, max(1, budget // (nodes * width)))
    step = max(1, budget // (nodes * nodes * width)) if some == nodes else 1
    return [
        (slice(row, row + step), slice(node, node + some))
        for row in range(0, rows, step)
        for node in range(0, nodes, some)
    ]
