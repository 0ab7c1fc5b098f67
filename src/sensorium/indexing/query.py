"""A query against a table of vectors: exact where that is fast, through the vector index elsewhere."""

import math
from typing import Any, NamedTuple

import numpy as np

from sensorium.errors import UserError
from sensorium.indexing.store import KEY, METRIC, VECTOR, Store


class Hit(NamedTuple):
    """A record that a search returns: its key, its cosine with the query, and its other columns by name."""

    key: str
    score: float
    columns: dict[str, Any]


def find_nearest(store: Store, vector: np.ndarray, top: int, where: str | None = None) -> list[Hit]:
    """The `top` records nearest to `vector`, float32 [dim], best first; among those that pass the filter `where`.
    Raises UserError for a filter that is not understood, or a vector of another size or without direction."""
    vector = unit_vector(vector, store.facts.dim)
    if top < 1:
        raise UserError(f"--top {top} asks for nothing; it is at least 1.")
    candidates = store.count(where)
    query = store.table.search(vector, vector_column_name=VECTOR).distance_type(METRIC).limit(top)
    if where is not None:
        query = query.where(where, prefilter=True)
    query = _with_probes(store, query, candidates, len(store) if where is not None else candidates)
    results = query.select([KEY, *store.columns, "_distance"]).to_arrow()
    hits = [Hit(row.pop(KEY), 1.0 - row.pop("_distance"), row) for row in results.to_pylist()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.key))


def _with_probes(store: Store, query: Any, candidates: int, rows: int) -> Any:
    """`query` set to compare all vectors, or to go through the index, of whose `rows` so many are `candidates`. When a
    filter passes a tenth of the rows, their ten nearest are spread over ten times as many partitions."""
    config = store.state.vector_index
    if config is None or candidates < max(1, store.facts.exact_below):
        return query.bypass_vector_index()
    query = query.nprobes(math.ceil(config.probes * rows / candidates))
    return query.refine_factor(config.refine) if config.refine else query


def unit_vector(vector: np.ndarray, dim: int) -> np.ndarray:
    """`vector`, float [dim], at unit length. Raises UserError for another size or no direction."""
    vector = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if vector.shape != (dim,):
        raise UserError(f"The query has the shape {list(vector.shape)}, and the index holds vectors of {dim} numbers.")
    if not math.isfinite(length) or length == 0:
        raise UserError("The query is a vector of zeros or is not finite, so that nothing is near to it; is it empty?")
    return vector / length
