"""Which rows of a contrastive batch belong together."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist

from sensorium.objectives.losses.ring import Ring


class Positives:
    """Rows i and j are positives when one of their keys agrees; every row is its own. keys: int64 [N, keys], such as
    the ids of both sides and a label; a negative label (the third key) is none."""

    def __init__(self, keys: Tensor):
        if keys.shape[1] > 2:
            labels = keys[:, 2]
            unique = -1 - torch.arange(len(keys), device=keys.device)
            keys = torch.cat([keys[:, :2], torch.where(labels < 0, unique, labels)[:, None]], dim=1)  # [N, 3]
        self._keys = keys
        self.counts = _counts(keys)
        """int64 [N]: how many positives each row has, itself among them."""

    def within(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """The places (i, j), int64 [pairs] each, of the positives in a tile, counted from its corner."""
        device = self._keys.device
        first, end = max(rows.start, columns.start), min(rows.stop, columns.stop)
        single = torch.arange(first, max(first, end), device=device)
        single = single[self.counts[single] == 1]
        i = (self.counts[rows] > 1).nonzero()[:, 0]
        j = (self.counts[columns] > 1).nonzero()[:, 0]
        if len(i) == 0 or len(j) == 0:
            return single - rows.start, single - columns.start
        row_keys, column_keys = self._keys[rows][i], self._keys[columns][j]
        agree = torch.zeros(len(i), len(j), dtype=torch.bool, device=device)
        for key in range(self._keys.shape[1]):
            agree |= row_keys[:, None, key] == column_keys[None, :, key]
        pairs = agree.nonzero()  # [pairs, 2]
        return torch.cat([single - rows.start, i[pairs[:, 0]]]), torch.cat([single - columns.start, j[pairs[:, 1]]])


def _counts(keys: Tensor) -> Tensor:
    """int64 [N]: with how many rows each row shares a key, by inclusion and exclusion over the groups of equal keys."""
    codes = [torch.unique(key, return_inverse=True)[1] for key in keys.T]
    counts = torch.zeros(len(keys), dtype=torch.long, device=keys.device)
    for size in range(1, len(codes) + 1):
        for subset in combinations(codes, size):
            joint = subset[0]
            for code in subset[1:]:
                joint = torch.unique(joint * len(keys) + code, return_inverse=True)[1]
            counts += (1 if size % 2 else -1) * torch.bincount(joint)[joint]
    return counts


class Tile(NamedTuple):
    """A tile of the matrix of all pairs.

    rows, columns: where it is, in the blocks of their processes.
    diagonal:      whether its diagonal holds the rows' own pairs.
    i, j:          int64 [positives] each, places of the positives in it."""

    rows: slice
    columns: slice
    diagonal: bool
    i: Tensor
    j: Tensor


class Meeting(NamedTuple):
    """Which process has which rows, and which rows belong together."""

    ring: Ring
    positives: Positives

    def tiles(self, owner: int, side: int) -> Iterator["Tile"]:
        """The tiles, of `side` rows and columns at most, of this process's rows and the columns of `owner`."""
        first_row, first_column = self.ring.starts[self.ring.rank], self.ring.starts[owner]
        for columns in _slices(self.ring.rows[owner], side):
            for rows in _slices(self.ring.rows[self.ring.rank], side):
                i, j = self.positives.within(_shifted(rows, first_row), _shifted(columns, first_column))
                yield Tile(rows, columns, owner == self.ring.rank and rows == columns, i, j)

    def counts(self) -> Tensor:
        """int64 [own rows]: how many positives each has."""
        start = self.ring.starts[self.ring.rank]
        return self.positives.counts[start : start + self.ring.rows[self.ring.rank]]


def _shifted(rows: slice, first: int) -> slice:
    return slice(first + rows.start, first + rows.stop)


def _slices(rows: int, side: int) -> list[slice]:
    return [slice(start, min(start + side, rows)) for start in range(0, rows, side)]


def both_present(a: Tensor, present_a: Tensor | None, present_b: Tensor | None) -> Tensor:
    """bool [N]: which rows of a and b have both sides; None says that all have one."""
    present = torch.ones(len(a), dtype=torch.bool, device=a.device)
    for side in (present_a, present_b):
        present = present if side is None else present & side
    return present


def meet(
    a: Tensor,
    b: Tensor,
    keys: list[Tensor | None],
    present_a: Tensor | None,
    present_b: Tensor | None,
    group: dist.ProcessGroup | None,
) -> tuple[Tensor, Tensor, Meeting]:
    """The rows that have both sides, and which rows of all processes belong together."""
    if a.ndim != 2 or a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(f"a and b must be [N, E] of one dtype, not {a.dtype} {[*a.shape]} and {b.dtype} {[*b.shape]}")
    for rowwise in [*keys, present_a, present_b]:
        if rowwise is not None and rowwise.shape != a.shape[:1]:
            raise ValueError(f"ids, labels and presence must be [{len(a)}] as a and b are, not {[*rowwise.shape]}")
    stacked = torch.stack([key for key in keys if key is not None], dim=1)  # [N, keys]
    present = both_present(a, present_a, present_b)
    if not present.all():
        rows = present.nonzero()[:, 0]
        a, b, stacked = a[rows], b[rows], stacked[rows]
    ring = Ring(group, len(a), a.device)
    return a.contiguous(), b.contiguous(), Meeting(ring, Positives(ring.gather(stacked)))
