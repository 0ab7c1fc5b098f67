"""Two sides of a table, by a share or by a column, and what the sides have in common."""

from itertools import pairwise
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sensorium.data.columns.parse import to_label
from sensorium.data.media.content import content_id
from sensorium.data.schema import MEDIA, InputSpec, Schema
from sensorium.data.split_names import HELD_OUT
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError, unknown


class Splittable(Protocol):
    """A table, as far as a split reads it."""

    frame: pd.DataFrame
    schema: Schema
    rows: np.ndarray
    source: str
    groups: np.ndarray | None

    def __len__(self) -> int: ...

    def cells(self, name: str, kind: str) -> np.ndarray:
        """The column `name` in the form of `kind`, [N]."""

    def mistake(self, index: int, column: str, reason: str) -> UserError:
        """The error about one cell."""

    def ignoring(self, name: str, reason: str) -> "Splittable":
        """The same records with a column ignored."""


def sides(
    table: Splittable,
    ratio: float | None,
    seed: int,
    column: str | None,
    test: str | None,
    together: np.ndarray | None = None,
) -> tuple[Splittable, np.ndarray, np.ndarray]:
    """The table to take the sides from and their rows, int64 from 0, in order. Raises UserError.

    together: int64 [N], records of equal value are on one side of a split by ratio, as those of one group are.
    """
    if (ratio is None) == (column is None):
        raise UserError("A split is by ratio or by column; give one of the two, as split(0.8) or split(column='fold').")
    if column is not None:
        held_out = _by_column(table, column, test)
        table = _without(table, column)
    elif not 0 < ratio < 1:
        raise UserError(
            f"The ratio of a split lies between 0 and 1, and {ratio} does not; 0.8 keeps four fifths on the first side."
        )
    elif len(table) < 2:
        raise UserError(f"{table.source} has one record, which cannot be split; add records.")
    else:
        strata = _strata(table)
        groups = table.groups
        if together is not None:
            groups = join_codes([pd.factorize(values)[0] for values in (together, groups) if values is not None])
        rng = np.random.default_rng(seed)
        held_out = ~(_by_rows(strata, ratio, rng) if groups is None else _by_groups(groups, strata, ratio, rng, table))
    return table, np.flatnonzero(~held_out), np.flatnonzero(held_out)


def join_codes(columns: list[np.ndarray]) -> np.ndarray:
    """int64 [N]: one group for records that any of the columns of codes, int64 [N] from 0, joins; -1 joins none."""
    count = len(columns[0])
    pairs, nodes = [], count
    for codes in columns:
        records = np.flatnonzero(codes >= 0)
        pairs.append(np.stack([records, codes[records] + nodes], axis=1))
        nodes += int(codes.max(initial=-1)) + 1
    return connect(np.concatenate(pairs), nodes)[:count]


def connect(pairs: np.ndarray, count: int) -> np.ndarray:
    """int64 [count]: the connected component of each position, by the pairs [pairs, 2] that join them."""
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _strata(table: Splittable) -> np.ndarray:
    """int64 [N]: the code of each row's class of the first class target, 0 where it is absent; all 0 without one."""
    target = next((target for target in table.schema.targets if TARGETS[target.kind].single_label), None)
    if target is None:
        return np.zeros(len(table), dtype=np.int64)
    return pd.factorize(table.cells(target.name, target.kind))[0].astype(np.int64) + 1


def _by_rows(strata: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """bool [N], True on the first side: a share `ratio` of each stratum, rounded so that the total is right."""
    counts = np.bincount(strata)
    quota = _round(counts * ratio, round(ratio * len(strata)))
    # A stratum of two rows or more stands on both sides.
    quota = np.where(counts > 1, np.clip(quota, 1, counts - 1), quota)
    if quota.sum() in (0, len(strata)):  # classes of one member each
        quota = _round(counts * ratio, int(np.clip(round(ratio * len(strata)), 1, len(strata) - 1)))
    shuffled = rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]  # stratum by stratum, each in a random order
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(strata)) - starts[strata[order]]
    first = np.empty(len(strata), dtype=bool)
    first[order] = rank < quota[strata[order]]
    return first


def _round(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers [K] near `shares` [K] that sum to `total`: the largest remainders are rounded up."""
    rounded = np.floor(shares).astype(np.int64)
    largest = np.argsort(rounded - shares, kind="stable")[: total - rounded.sum()]
    rounded[largest] += 1
    return rounded


def _by_groups(
    groups: np.ndarray, strata: np.ndarray, ratio: float, rng: np.random.Generator, table: Splittable
) -> np.ndarray:
    """bool [N], True on the first side: whole groups, larger ones first, each to the side that lacks its classes."""
    codes, names = pd.factorize(groups)
    if len(names) < 2:
        raise UserError(
            f"All rows of {table.source} are in one group ('{names[0]}' of '{table.schema.group}'), which cannot stand"
            " on both sides; split by another column or leave the group out."
        )
    wide = int(strata.max()) + 1
    cells, counts = np.unique(codes * wide + strata, return_counts=True)
    sizes = np.bincount(codes)
    starts = np.searchsorted(cells // wide, np.arange(len(names) + 1))
    shuffled = rng.permutation(len(names))
    # Groups of about one size come in random order, so that another seed gives another split.
    order = shuffled[np.argsort(-np.floor(np.log2(sizes[shuffled])), kind="stable")]
    classes, counts = (cells % wide).tolist(), counts.tolist()
    members = [list(zip(classes[a:b], counts[a:b], strict=True)) for a, b in pairwise(starts)]
    first = _deal(order.tolist(), members, np.bincount(strata, minlength=wide).tolist(), ratio)
    if first.all() or not first.any():
        smallest = int(sizes.argmin())
        first[smallest] = not first[smallest]
    return first[codes]


def _deal(order: list[int], members: list[list[tuple[int, int]]], totals: list[int], ratio: float) -> np.ndarray:
    """bool [groups], True on the first side. `members` has each group's (class, rows), `totals` the rows of each class.

    Each group goes to the side where the squared error of the rows dealt so far, by class and in all, grows least.
    """
    error = [0.0] * len(totals)  # by class: rows on the first side less `ratio` of the rows dealt
    size_error, rows = 0.0, sum(totals)
    first = np.zeros(len(order), dtype=bool)
    for group in order:
        size = sum(count for _, count in members[group])
        # ((e + (1 - r) c)^2 - (e - r c)^2) / total, summed: positive when the second side is nearer
        lean = (2 * size_error + (1 - 2 * ratio) * size) * size / rows
        lean += sum(
            (2 * error[label] + (1 - 2 * ratio) * count) * count / totals[label] for label, count in members[group]
        )
        first[group] = lean <= 0
        share = 1 - ratio if lean <= 0 else -ratio
        size_error += share * size
        for label, count in members[group]:
            error[label] += share * count
    return first


def _by_column(table: Splittable, column: str, test: str | None) -> np.ndarray:
    """bool [N], True where the row is held out."""
    if column not in table.frame.columns:
        raise UserError(f"{table.source}: {unknown('column', column, table.frame.columns)}")
    if any(target.name == column for target in table.schema.targets):
        raise UserError(
            f"Column '{column}' is a target, so a split by it would leave classes out;"
            " split by another column or by ratio."
        )
    cells = table.cells(column, "category")
    absent = np.flatnonzero(pd.isna(cells))
    if len(absent):
        raise table.mistake(
            int(absent[0]),
            column,
            f"the split goes by this column, and {len(absent)} of {len(table)} rows have no value; fill it in",
        )
    values = sorted(pd.unique(cells))
    if len(values) < 2:
        raise UserError(
            f"Column '{column}' of {table.source} is '{values[0]}' in every row, so one side would be empty;"
            " split by another."
        )
    test = None if test is None else to_label(test)
    if test is None:
        named = [value for value in values if value.lower() in HELD_OUT]
        if len(values) != 2 or len(named) != 1:
            listing = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
            raise UserError(
                f"Column '{column}' of {table.source} does not say which rows are held out ({listing});"
                f" name the value, as --split {column}={values[-1]}, in Python test='{values[-1]}'."
            )
        test = named[0]
    if test not in values:
        raise UserError(f"{table.source}, column '{column}': {unknown('value', test, values)}")
    return cells == test


def _without(table: Splittable, column: str) -> Splittable:
    """The table with the split column ignored; a group or key column stays what it is, as it is not an input."""
    described = table.schema.column(column)
    if described is None or described.kind in ("group", "key", "ignored"):
        return table
    return table.ignoring(column, "it says which side of the split a row is on")


def overlap(
    a: Splittable, b: Splittable, ids_a: dict[str, np.ndarray] | None = None, ids_b: dict[str, np.ndarray] | None = None
) -> str | None:
    """A sentence on what both tables have: records equal in every input, files, groups; None when they share nothing.

    `ids_a` and `ids_b`, by input name, int64 [N], are hashes of the files' content, 0 where absent; without them a file
    is identified by its path, or its bytes in memory.
    """
    kinds = {column.name: column.kind for column in a.schema.columns}
    hashes_a, hashes_b = (
        {spec.name: _hashes(table, spec, kinds, ids or {}) for spec in a.schema.inputs}
        for table, ids in ((a, ids_a), (b, ids_b))
    )
    # A record without any input (all hashes 0) equals every other such record, which says nothing.
    present_a, present_b = (
        np.logical_or.reduce([values != 0 for values in hashes.values()]) for hashes in (hashes_a, hashes_b)
    )
    records_a, records_b = (_combine(list(hashes.values())) for hashes in (hashes_a, hashes_b))
    shared = []
    copies = int((np.isin(records_b, records_a[present_a]) & present_b).sum())
    if copies:
        shared.append(f"records ({copies} of the {len(b)} equal one of the other side in every input)")
    for spec in a.schema.inputs:
        files = np.intersect1d(hashes_a[spec.name], hashes_b[spec.name]) if spec.modality in MEDIA else np.zeros(0)
        if (files != 0).any():
            shared.append(f"files of '{spec.name}' ({int((files != 0).sum())})")
    groups = [] if a.groups is None or b.groups is None else sorted(set(a.groups) & set(b.groups))
    if len(groups):
        shared.append(f"groups of '{a.schema.group}' ({len(groups)}, such as '{groups[0]}')")
    if not shared:
        return None
    return (
        f"The two sides share {' and '.join(shared)}, so scores may flatter the model; delete the copies, or split by a"
        " group that holds them together."
    )


def _hashes(table: Splittable, spec: InputSpec, kinds: dict[str, str], ids: dict[str, np.ndarray]) -> np.ndarray:
    """uint64 [N]: a hash of what each row has for the input; 0 where it is absent."""
    if spec.name in ids:
        return np.asarray(ids[spec.name]).astype(np.uint64)
    cells = [table.cells(name, kinds[name]) for name in spec.columns]
    hashed = _combine([_hash_cells(values) for values in cells])
    return np.where(np.logical_and.reduce([pd.isna(values) for values in cells]), np.uint64(0), hashed)


def _hash_cells(cells: np.ndarray) -> np.ndarray:
    if cells.dtype == object and not set(map(type, cells)) <= {str, type(None)}:
        return np.fromiter((_hash_content(cell) for cell in cells), dtype=np.uint64, count=len(cells))
    return pd.util.hash_array(cells, categorize=False)


def _hash_content(cell: object) -> int:
    """Eight bytes of a hash of a path, bytes or a decoded value; 0 for None."""
    return 0 if cell is None else content_id(cell) % 2**64


def _combine(hashes: list[np.ndarray]) -> np.ndarray:
    """uint64 [N]: one hash of several; the order counts, and sums wrap around."""
    combined = np.zeros(len(hashes[0]), dtype=np.uint64)
    for values in hashes:
        combined = (combined ^ values) * np.uint64(0x9E3779B97F4A7C15)
        combined ^= combined >> np.uint64(29)
    return combined
