"""The vector index of a large table: made, and its search tuned on queries until it finds what an exact one finds."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sensorium.errors import UserError
from sensorium.indexing.query import unit
from sensorium.indexing.store import METRIC, VECTOR, Store, Tuned

TOP = 10
WANTED = 0.95
QUERIES = 256
PERTURBED = 0.5  # length of the noise on a query of length 1: it keeps a cosine of .89 with the vector it came from
SURE = 1.64  # standard errors below the mean: 95 % that recall is no less
# k-means wants some tens of vectors a centroid (faiss asks for 39 at least); LanceDB's 256 take four times as long.
TRAINED = 64
ROUNDS = 20
REFINES = (4, 10, 20, 50)
LEAST_QUANTISED = 4096  # rows; 256 codes a piece are learned from sixteen times as many


class Judged(NamedTuple):
    """Recall at 10 over the held-out queries: the mean, and what it is at least, to 95 %."""

    mean: float
    low: float


class Held(NamedTuple):
    """Queries, float32 [Q, dim], which row each came from, uint64 [Q], and its true nearest others, uint64 [Q, 10]."""

    queries: np.ndarray
    own: np.ndarray
    true: np.ndarray


def tend(store: Store) -> None:
    """Gives the table the vector index that it should have, by now, and tunes it.

    None where searches are exact, unless product quantisation was asked for. A new one when there is none, or the table
    has grown or shrunk to four times; new rows are brought in, and the search is tuned anew, when one row in twenty has
    changed.
    """
    rows, tuned, quantised = len(store), store.state.tuned, store.state.product_quantisation
    if quantised and rows < LEAST_QUANTISED:
        raise UserError(
            f"{store.path} has {rows:,} rows, and product quantisation learns from {LEAST_QUANTISED:,} at least;"
            " leave it out, as a search of so few is exact and fast."
        )
    if rows < store.facts.exact_below and not quantised:
        store.tidy()
        if tuned is not None:
            store.remember(tuned=None)
        return
    if tuned is None or not tuned.partitions**2 / 4 <= rows <= tuned.partitions**2 * 4:
        partitions = build(store, rows, quantised)
    elif abs(rows - tuned.rows) + _unindexed(store) > rows / 20:
        partitions = tuned.partitions
        store.tidy()
    else:
        return
    store.remember(tuned=tune(store, partitions, quantised))


def build(store: Store, rows: int, quantised: bool) -> int:
    """Makes the vector index; gives the number of its partitions.

    A query compares the centroids and the vectors of some partitions; with √rows partitions both are about as many. The
    size of a partition is stated and not their number, for else LanceDB joins them to some thousands of rows each when
    it next tidies up, and the tuning is void.
    """
    from lancedb.index import IvfFlat, IvfPq

    size = max(1, round(math.sqrt(rows)))
    common = {"distance_type": METRIC, "target_partition_size": size, "max_iterations": ROUNDS, "sample_rate": TRAINED}
    if quantised:
        pieces = next(size for size in (8, 4, 2, 1) if store.facts.dim % size == 0)  # numbers to a byte
        config = IvfPq(**common, num_sub_vectors=store.facts.dim // pieces)
    else:
        config = IvfFlat(**common)
    store.table.create_index(VECTOR, config=config, replace=True)
    return max(1, rows // size)


def tune(store: Store, partitions: int, quantised: bool) -> Tuned:
    """The fewest probes (and, with quantised vectors, the least refinement) with which recall at 10 is .95."""
    held = hold_out(store)
    kind, rows = ("IVF_PQ", len(store)) if quantised else ("IVF_FLAT", len(store))
    for refine in REFINES if quantised else (0,):
        probes, judged = _fewest(store, held, partitions, refine)
        if judged.low >= WANTED:
            break
    coarse = judge(store, held, probes, 0).mean if quantised else None
    return Tuned(
        kind=kind, rows=rows, partitions=partitions, probes=probes, refine=refine, recall=judged.mean, low=judged.low,
        queries=len(held.queries), coarse_recall=coarse,
    )  # fmt: skip


def _fewest(store: Store, held: Held, partitions: int, refine: int) -> tuple[int, Judged]:
    """The fewest probes with which recall is at least .95, to 95 %; all partitions when none do."""
    low, probes = 0, 1
    while (judged := judge(store, held, probes, refine)).low < WANTED:
        if probes == partitions:
            return probes, judged
        low, probes = probes, min(2 * probes, partitions)
    while probes - low > max(1, low // 8):  # to an eighth, which is finer than the sample can tell
        middle = (low + probes) // 2
        tried = judge(store, held, middle, refine)
        if tried.low >= WANTED:
            probes, judged = middle, tried
        else:
            low = middle
    return probes, judged


def judge(store: Store, held: Held, probes: int, refine: int) -> Judged:
    """Recall at 10 of searches with so many probes."""
    search = store.table.search(list(held.queries), vector_column_name=VECTOR).distance_type(METRIC).limit(TOP + 1)
    search = search.nprobes(probes).select(["_distance"]).with_row_id(True)
    found = (search.refine_factor(refine) if refine else search).to_arrow()
    asked, rows = found["query_index"].to_numpy(), found["_rowid"].to_numpy()
    shares = np.empty(len(held.queries))
    for place, (true, own) in enumerate(zip(held.true, held.own, strict=True)):
        mine = rows[asked == place]
        shares[place] = np.isin(true, mine[mine != own][:TOP]).mean()
    spread = shares.std(ddof=1) / math.sqrt(len(shares)) if len(shares) > 1 else 0.0
    return Judged(float(shares.mean()), float(shares.mean() - SURE * spread))


def hold_out(store: Store, count: int = QUERIES, seed: int = 0) -> Held:
    """Vectors of the table, perturbed, as queries, and the true nearest of each, itself left out."""
    random = np.random.default_rng(seed)
    rows = len(store)
    offsets = np.sort(random.choice(rows, min(count, rows), replace=False)).tolist()
    taken = store.table.take_offsets(offsets).select([VECTOR]).with_row_id().to_arrow()
    vectors = taken[VECTOR].combine_chunks().flatten().to_numpy().reshape(-1, store.facts.dim)  # [Q, dim]
    noise = random.standard_normal(vectors.shape) / math.sqrt(store.facts.dim)
    noisy = vectors + PERTURBED * noise
    queries = np.stack([unit(query, store.facts.dim) for query in noisy])  # [Q, dim]
    own = taken["_rowid"].to_numpy()
    found = exact(store.vectors(), queries, TOP + 1)
    others = [row[row != mine][:TOP] for row, mine in zip(found, own, strict=True)]
    return Held(queries, own, np.stack(others))


def exact(batches: Iterator[tuple[np.ndarray, np.ndarray]], queries: np.ndarray, top: int) -> np.ndarray:
    """uint64 [Q, top]: the rows with the largest products with each of `queries`, float32 [Q, dim], best first, of all
    that `batches` gives, (rows [n], vectors [n, dim]); memory does not grow with their number.
    """
    best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), 0), dtype=np.uint64)
    for ids, vectors in batches:
        scores = np.concatenate([best, queries @ vectors.T], axis=1)  # [Q, kept + n]
        known = np.concatenate([rows, np.broadcast_to(ids, (len(queries), len(ids)))], axis=1)
        kept = min(top, scores.shape[1])
        part = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        best, rows = np.take_along_axis(scores, part, 1), np.take_along_axis(known, part, 1)  # [Q, kept]
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1)


def _unindexed(store: Store) -> int:
    index = next(one for one in store.table.list_indices() if VECTOR in one.columns)
    return store.table.index_stats(index.name).num_unindexed_rows
