"""A query against a table of vectors: exact where that is fast, through the vector index elsewhere."""

import math
from typing import Any, NamedTuple

import numpy as np

from sensorium.errors import UserError
from sensorium.indexing.store import KEY, METRIC, VECTOR, Store


class Hit(NamedTuple):
    """A record that was found: its key, its cosine with the query, and its other columns by name."""

    key: str
    score: float
    columns: dict[str, Any]


def nearest(store: Store, vector: np.ndarray, top: int, where: str | None = None) -> list[Hit]:
    """The `top` records nearest to `vector`, float32 [dim], best first; of those that the filter `where` leaves.

    Raises UserError for a filter that is not understood, or a vector of another size or without direction.
    """
    vector = unit(vector, store.facts.dim)
    if top < 1:
        raise UserError(f"--top {top} asks for nothing; it is at least 1.")
    left = store.count(where)
    query = store.table.search(vector, vector_column_name=VECTOR).distance_type(METRIC).limit(top)
    if where is not None:
        query = query.where(where, prefilter=True)
    query = _how(store, query, left, len(store) if where is not None else left)
    found = query.select([KEY, *store.columns, "_distance"]).to_arrow()
    hits = [Hit(row.pop(KEY), 1.0 - row.pop("_distance"), row) for row in found.to_pylist()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.key))


def _how(store: Store, query: Any, left: int, rows: int) -> Any:
    """`query` told to compare all vectors, or to go through the index, of whose `rows` a filter leaves `left`.

    A filter that leaves one row in ten has its ten nearest spread over ten times as many partitions.
    """
    tuned = store.state.tuned
    if tuned is None or not left or (left < store.facts.exact_below and not store.state.product_quantisation):
        return query.bypass_vector_index()
    probes = min(tuned.partitions, math.ceil(tuned.probes * rows / left))
    query = query.nprobes(probes)
    return query.refine_factor(tuned.refine) if tuned.refine else query


def unit(vector: np.ndarray, dim: int) -> np.ndarray:
    """`vector`, float [dim], at unit length. Raises UserError for another size or no direction."""
    vector = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if vector.shape != (dim,):
        raise UserError(f"The query has the shape {list(vector.shape)}, and the index holds vectors of {dim} numbers.")
    if not math.isfinite(length) or length == 0:
        raise UserError("The query is a vector of zeros or is not finite, so that nothing is near to it; is it empty?")
    return vector / length
