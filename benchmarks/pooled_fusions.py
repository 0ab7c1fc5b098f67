"""A training step of each fusion of summaries, forward and backward, against its formula written plainly in PyTorch.

    python benchmarks/pooled_fusions.py [--fusions tensor low_rank ...] [--rows 256] [--width 128] [--rounds 40]

Three inputs, each present in every row. Ours is given Features and minds absence; the peer is given the summaries and
does not. Both begin with a LayerNorm and a linear map for each input, have the same shapes, and end in the sum of
squares of the fused vector. Dropout is off. The two alternate in one process; what is taken is processor time: medians,
and the ratio with its spread. `largest` is the most numbers a row that any operation of the forward pass gives; for
`tensor` nothing may be larger than the product itself, (width + 1) ** 3. Threads are as OMP_NUM_THREADS says.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sensorium.features import Features
from sensorium.fusion import FUSIONS

NAMES = ("text", "image", "audio")
TENSOR, LOW_RANK, RANK, HEADS, CAPSULES = 16, 32, 8, 4, 8  # as our fusions have them unless told


class Plain(nn.Module):
    """The maps of three inputs to `mapped`, and what a formula needs beside them."""

    def __init__(self, width: int, mapped: int, needed: dict[str, nn.Module | Tensor], formula: Callable[..., Tensor]):
        super().__init__()
        self.maps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, mapped)) for _ in NAMES)
        for name, one in needed.items():
            setattr(self, name, nn.Parameter(one) if isinstance(one, Tensor) else one)
        self.formula = formula

    def forward(self, raw: list[Tensor]) -> Tensor:
        """[B, E] of each input -> [B, D]."""
        return self.formula(self, [layer(x) for layer, x in zip(self.maps, raw, strict=True)])


def weighted_sum(p: Any, x: list[Tensor]) -> Tensor:
    """y = Σ wᵢ xᵢ + b."""
    return sum(w * one for w, one in zip(p.weight, x, strict=True)) + p.bias


def attention(p: Any, x: list[Tensor]) -> Tensor:
    """Bahdanau's, one weight a head."""
    stacked = torch.stack(x, dim=1)
    asks = stacked.mean(dim=1, keepdim=True).expand_as(stacked)
    a = p.v(torch.tanh(p.w(torch.cat([asks, stacked], dim=2)))).softmax(dim=1)
    return (a[..., None] * stacked.view(*stacked.shape[:2], HEADS, -1)).sum(dim=1).flatten(1)


def gated(p: Any, x: list[Tensor]) -> Tensor:
    """The gated multimodal unit."""
    beside = torch.cat(x, dim=1)
    return sum(torch.sigmoid(gate(beside)) * torch.tanh(one) for gate, one in zip(p.gates, x, strict=True))


def film(p: Any, x: list[Tensor]) -> Tensor:
    """One input after another."""
    state = x[0]
    for layer, one in zip(p.layers, x[1:], strict=True):
        gamma, beta = layer(state).chunk(2, dim=1)
        state = (1 + gamma) * one + beta
    return state


def tensor(p: Any, x: list[Tensor]) -> Tensor:
    """As TFN's published code: two batched outer products, then a linear layer."""
    a, b, c = (torch.cat([one, torch.ones(len(one), 1)], dim=1) for one in x)
    pairs = torch.bmm(a.unsqueeze(2), b.unsqueeze(1)).view(len(a), -1, 1)
    return p.linear(torch.bmm(pairs, c.unsqueeze(1)).view(len(a), -1))


def low_rank(p: Any, x: list[Tensor]) -> Tensor:
    """As LMF's published code."""
    ones = torch.ones(len(x[0]), 1)
    parts = [torch.matmul(torch.cat([one, ones], dim=1), factor) for one, factor in zip(x, p.factors, strict=True)]
    product = reduce(torch.mul, parts)  # [rank, B, D]
    return torch.matmul(p.weight, product.permute(1, 0, 2)).squeeze(1) + p.bias


def capsules(p: Any, x: list[Tensor]) -> Tensor:
    """Sabour's procedure 1."""

    def squash(one: Tensor) -> Tensor:
        square = (one**2).sum(dim=-1, keepdim=True)
        return square / (1 + square) * one / torch.sqrt(square + 1e-9)

    votes = torch.einsum("bnp,nmpd->bnmd", squash(torch.stack(x, dim=1)), p.weight)
    logits = torch.zeros(votes.shape[:3])
    for iteration in range(3):
        wholes = squash((logits.softmax(dim=2)[..., None] * votes).sum(dim=1))
        if iteration < 2:
            logits = logits + (votes * wholes[:, None]).sum(dim=3)
    return wholes.flatten(1)


def variational(p: Any, x: list[Tensor]) -> Tensor:
    """As MVAE's published code, with the prior as one more expert, and a sample."""
    means, log_variances = torch.stack(x).chunk(2, dim=2)
    prior = torch.zeros_like(means[:1])
    means, variances = torch.cat([prior, means]), torch.cat([prior, log_variances]).exp() + 1e-8
    precisions = 1 / variances
    mean, variance = (means * precisions).sum(dim=0) / precisions.sum(dim=0), 1 / precisions.sum(dim=0)
    return mean + torch.randn_like(mean) * torch.exp(0.5 * torch.log(variance))


def peers(width: int) -> dict[str, Plain]:
    """By fusion its formula, of `width`."""
    linear, random = nn.Linear, torch.randn
    score = {"w": linear(2 * width, width), "v": linear(width, HEADS, bias=False)}
    factors = {"factors": random(3, RANK, LOW_RANK + 1, width) / 5, "weight": random(1, RANK), "bias": random(1, width)}
    votes = {"weight": random(3, CAPSULES, width, width // CAPSULES) / 5}
    return {
        "weighted_sum": Plain(width, width, {"weight": random(3), "bias": random(width)}, weighted_sum),
        "attention": Plain(width, width, score, attention),
        "gated": Plain(width, width, {"gates": nn.ModuleList(linear(3 * width, width) for _ in NAMES)}, gated),
        "film": Plain(width, width, {"layers": nn.ModuleList(linear(width, 2 * width) for _ in NAMES[1:])}, film),
        "tensor": Plain(width, TENSOR, {"linear": linear((TENSOR + 1) ** 3, width)}, tensor),
        "low_rank": Plain(width, LOW_RANK, factors, low_rank),
        "capsules": Plain(width, width, votes, capsules),
        "variational": Plain(width, 2 * width, {}, variational),
    }


class Largest(TorchDispatchMode):
    """Notes the most numbers that an operation gives, weights and views of them aside."""

    def __init__(self, rows: int):
        super().__init__()
        self.rows, self.most = rows, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and self.rows in out.shape:
            self.most = max(self.most, out.numel() // self.rows)
        return out


def largest(rows: int, run: Callable[[], Tensor]) -> int:
    """Of the forward pass, numbers a row."""
    with Largest(rows) as seen, torch.no_grad():
        run()
    return seen.most


def step(module: nn.Module, run: Callable[[], Tensor]) -> float:
    """Processor seconds of one step."""
    module.zero_grad()
    start = time.process_time()
    run().square().sum().backward()
    return time.process_time() - start


def main() -> None:
    """Measures and prints a row for each fusion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    torch.manual_seed(0)
    parser.add_argument("--fusions", nargs="+")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    raw = [torch.randn(arguments.rows, arguments.width) for _ in NAMES]
    features = {name: Features.one(x, torch.ones(len(x), dtype=torch.bool)) for name, x in zip(NAMES, raw, strict=True)}
    print(f"{'fusion':13} {'ours ms':>8} {'peer ms':>8} {'ratio':>6}  {'middle half':13} {'largest':>8} {'peer':>8}")
    for name, peer in peers(arguments.width).items():
        if arguments.fusions and name not in arguments.fusions:
            continue
        kind = FUSIONS[name]
        ours = kind(kind.Config(dim=arguments.width, dropout=0.0), dict.fromkeys(NAMES, arguments.width))

        def own(fusion: nn.Module = ours) -> Tensor:
            return fusion(features).pooled

        def other(formula: nn.Module = peer) -> Tensor:
            return formula(raw)

        times = [(step(ours, own), step(peer, other)) for _ in range(arguments.rounds + 3)][3:]
        one, two = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        low, middle, high = statistics.quantiles([a / b for a, b in times], n=4)
        sizes = [largest(arguments.rows, run) for run in (own, other)]
        print(
            f"{name:13} {one:8.2f} {two:8.2f} {middle:6.2f}  {low:.2f} to {high:.2f}  {sizes[0]:8,} {sizes[1]:8,}",
            flush=True,
        )


if __name__ == "__main__":
    main()
