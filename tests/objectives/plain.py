"""The contrastive losses as one writes them down: float64, with all N × N logits; and batches to try them on."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Pairs(NamedTuple):
    """A batch; `scale` is the logarithm of the factor."""

    a: Tensor
    b: Tensor
    ids_a: Tensor
    ids_b: Tensor
    scale: Tensor
    labels: Tensor | None = None
    present_a: Tensor | None = None
    present_b: Tensor | None = None

    def rows(self, rows: slice) -> "Pairs":
        """Some of its rows."""
        return Pairs(*(value[rows] if value is not None and value.ndim else value for value in self))

    def named(self) -> dict[str, Tensor | None]:
        """Arguments after a and b, but for the scale."""
        return {name: value for name, value in self._asdict().items() if name not in ("a", "b", "scale")}


def unique(rows: int, width: int, factor: float, noise: float = 1.5, seed: int = 0) -> Pairs:
    """Pairs that are alike by `noise`, each the only one with its ids."""
    chance = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(rows, width, generator=chance, dtype=torch.float64), dim=1)
    b = torch.randn(rows, width, generator=chance, dtype=torch.float64)
    b = F.normalize(a + noise * F.normalize(b, dim=1), dim=1)
    ids = torch.randperm(rows, generator=chance) - rows // 2
    return Pairs(a, b, ids, ids * 3, torch.tensor(math.log(factor), dtype=torch.float64))


def shared(rows: int, width: int, factor: float) -> Pairs:
    """Pairs of which some share a picture, some a caption, some a label, some several, and most nothing."""
    pairs, place = unique(rows, width, factor), torch.arange(rows)
    ids_a = torch.where(place % 5 == 0, place // 10, pairs.ids_a + 1000)
    ids_b = torch.where(place % 7 < 2, place % 4, pairs.ids_b + 1000)
    labels = torch.where(place % 3 == 0, place % 5, -1)
    return pairs._replace(ids_a=ids_a, ids_b=ids_b, labels=labels)


def gappy(rows: int, width: int, factor: float) -> Pairs:
    """Pairs as `shared`, some without one side, some without both, which then hold nonsense."""
    pairs, place = shared(rows, width, factor), torch.arange(rows)
    present_a, present_b = place % 6 != 1, place % 4 != 3
    a = torch.where(present_a[:, None], pairs.a, math.nan)
    b = torch.where(present_b[:, None], pairs.b, math.nan)
    return pairs._replace(a=a, b=b, present_a=present_a, present_b=present_b)


MAKERS = {"unique": unique, "shared": shared, "gappy": gappy}


def positives(pairs: Pairs) -> Tensor:
    """bool [N, N]."""
    together = (pairs.ids_a[:, None] == pairs.ids_a) | (pairs.ids_b[:, None] == pairs.ids_b)
    if pairs.labels is not None:
        together |= (pairs.labels[:, None] == pairs.labels) & (pairs.labels >= 0)
    return together


def present(pairs: Pairs) -> Tensor:
    """int64: the rows that have both sides."""
    have = torch.ones(len(pairs.a), dtype=torch.bool)
    for side in (pairs.present_a, pairs.present_b):
        have = have if side is None else have & side
    return have.nonzero()[:, 0]


def softmax(pairs: Pairs) -> Tensor:
    """The sum over rows of half of both directions' cross-entropies with targets spread over the positives."""
    rows = present(pairs)
    pairs = pairs.rows(rows)
    logits = pairs.scale.exp() * pairs.a @ pairs.b.T
    target = positives(pairs).to(logits.dtype)
    target = target / target.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target, reduction="sum") + F.cross_entropy(logits.T, target, reduction="sum")) / 2


def sigmoid(pairs: Pairs, bias: Tensor) -> Tensor:
    """The sum over all pairs of -log sigmoid(± logit)."""
    pairs = pairs.rows(present(pairs))
    logits = pairs.scale.exp() * pairs.a @ pairs.b.T + bias
    return -F.logsigmoid(torch.where(positives(pairs), logits, -logits)).sum()
