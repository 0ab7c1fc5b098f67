"""A large table is searched through LanceDB's vector index, which finds what an exact search finds."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import IvfFlat, IvfPq

from sensorium.errors import UserError
from sensorium.indexing import Index
from sensorium.indexing.maintenance import maintain_index
from sensorium.indexing.store import IndexConfig
from tests import reviews

DIM, ROWS, TOP = 32, 20_000, 10
COLOURS = np.array(["red", "green", "blue", "black"])


def vectors(count: int, seed: int) -> np.ndarray:
    """float32 [count, DIM], unit length: copies of 300 directions, each moved."""
    base = np.random.default_rng(0).standard_normal((300, DIM))
    random = np.random.default_rng(seed)
    moved = base[random.integers(300, size=count)] + random.standard_normal((count, DIM))
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUERIES = vectors(ROWS, 1), vectors(100, 2)
TRUE = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :TOP]


def table(first: int, rows: np.ndarray) -> pa.Table:
    keys = [str(first + row) for row in range(len(rows))]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIM)
    return pa.table({"key": keys, "vector": flat, "colour": COLOURS[np.arange(first, first + len(rows)) % 4]})


def batches(rows: np.ndarray) -> Iterator[pa.Table]:
    return (table(start, rows[start : start + 4096]) for start in range(0, len(rows), 4096))


def build(path, rows=VECTORS, **options) -> Index:
    return Index.of_vectors(batches(rows), path, dim=DIM, columns={"colour": pa.string()}, **options)


def recall(index: Index, true=TRUE, where=None) -> float:
    found = [[int(hit.key) for hit in index.search(query, TOP, where)] for query in QUERIES]
    return float(np.mean([np.isin(row, one).mean() for row, one in zip(true, found, strict=True)]))


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> Index:
    """An index of 20,000 vectors, of which all would be compared were there fewer than 10,000."""
    return build(tmp_path_factory.mktemp("flat") / "flat.lance", exact_below=10_000)


def test_below_the_threshold_a_search_is_exact(tmp_path):
    index = build(tmp_path / "small.lance", VECTORS[:3000])
    assert index.store.state.vector_index is None
    true = np.argsort(-(QUERIES @ VECTORS[:3000].T), axis=1)[:, :TOP]
    assert recall(index, true) == 1.0
    hits = index.search(QUERIES[0])
    assert np.allclose([hit.score for hit in hits], (VECTORS @ QUERIES[0])[true[0]], atol=1e-6)


def test_above_it_recall_is_at_least_95_of_100(flat):
    assert flat.store.state.vector_index == IndexConfig(kind="IVF_FLAT", probes=20, refine=0)
    assert flat.store.table.index_stats("vector_idx").index_type == "IVF_FLAT"
    assert recall(flat) >= 0.95
    assert recall(Index.open(flat.store.path)) == recall(flat)


def test_fewer_probes_would_find_less(flat, monkeypatch):
    """That is, searches go through the index."""
    state = flat.store.state.model_copy(update={"vector_index": IndexConfig(probes=1)})
    monkeypatch.setattr(flat.store, "state", state)
    assert recall(flat) < 0.94


@pytest.mark.parametrize(("below", "least"), [(10_000, 1.0), (100, 0.94)])
def test_a_filter_finds_the_nearest_that_it_leaves(flat, below, least, monkeypatch):
    """Where it leaves few all of these are compared, else it looks into more partitions."""
    monkeypatch.setattr(flat.store, "facts", flat.store.facts.model_copy(update={"exact_below": below}))
    left = np.flatnonzero(np.arange(ROWS) % 40 == 1)
    true = left[np.argsort(-(QUERIES @ VECTORS[left].T), axis=1)[:, :TOP]]
    assert recall(flat, true, "colour = 'green' AND CAST(key AS INT) % 40 = 1") >= least
    assert len(flat.search(QUERIES[0], 5, "key = '17'")) == 1


def test_rows_that_came_later_are_found_and_those_removed_are_not(tmp_path):
    index = build(tmp_path / "grows.lance", VECTORS[:12_000], exact_below=10_000)
    asked = -VECTORS[0]
    index.store.add(table(12_000, asked[None]))
    assert index.search(asked, 1)[0].key == "12000", "a row that is not indexed yet is searched too"
    maintain_index(index.store)
    assert index.store.table.index_stats("vector_idx").num_unindexed_rows == 0
    assert index.search(asked, 1)[0].key == "12000"
    index.delete(["12000"])
    assert index.search(asked, 1)[0].key != "12000"
    assert index.store.state.vector_index is not None
    index.delete(where="colour = 'red'")
    assert index.store.state.vector_index is None, "9,000 are compared"
    left = np.flatnonzero(np.arange(12_000) % 4)
    assert recall(index, left[np.argsort(-(QUERIES @ VECTORS[left].T), axis=1)[:, :TOP]]) == 1.0


def as_an_earlier_release_left_it(path, **tuned) -> Index:
    """An index of all vectors with small partitions and the metadata of release 0.1, fields no longer known too."""
    index = build(path, exact_below=10_000)
    quantised = tuned["kind"] == "IVF_PQ"
    common = {"distance_type": "cosine", "target_partition_size": 141}
    config = IvfPq(**common, num_sub_vectors=DIM // 8) if quantised else IvfFlat(**common)
    index.store.table.create_index("vector", config=config, replace=True)
    measured = {"rows": ROWS, "partitions": 141, "recall": 0.96, "low": 0.95, "queries": 256, "coarse_recall": None}
    state = {"finished": True, "product_quantisation": quantised, "tuned": measured | tuned}
    index.store.table.update_field_metadata({"path": "vector", "metadata": {"sensorium": json.dumps(state)}})
    return Index.open(path)


@pytest.mark.parametrize(
    "tuned", [{"kind": "IVF_FLAT", "probes": 28, "refine": 0}, {"kind": "IVF_PQ", "probes": 36, "refine": 20}]
)
def test_an_index_that_an_earlier_release_tuned_is_searched_as_it_was(tuned, tmp_path):
    index = as_an_earlier_release_left_it(tmp_path / "old.lance", **tuned)
    assert index.store.state.vector_index == IndexConfig(**tuned, partitions=141)
    assert recall(index) >= 0.94
    index.delete(["0"])
    assert index.store.state.vector_index == IndexConfig(), "a change makes it LanceDB's own"
    assert index.store.table.index_stats("vector_idx").index_type == "IVF_FLAT"
    assert json.loads(index.store.table.schema.field("vector").metadata[b"sensorium"])["tuned"]["probes"] == 20


def test_product_quantisation_is_answered_in_a_sentence(tmp_path):
    sentence = "Product quantisation .* is no longer there; leave it out"
    with pytest.raises(UserError, match=sentence):
        build(tmp_path / "few.lance", VECTORS[:1000], product_quantisation=True)
    with pytest.raises(UserError, match=sentence):
        Index.build(None, "pictures", tmp_path / "few.lance", product_quantisation=True)
    typed = reviews.sensorium("index runs/pairs pictures --out few.lance --product-quantisation")
    assert (typed.code, typed.err.count("\n")) == (2, 1)
    assert typed.err.startswith("sensorium: Product quantisation (--product-quantisation) is no longer there;")
    assert "quantisation" not in reviews.sensorium("index --help").out


def test_a_vector_without_direction_is_refused(tmp_path, flat):
    with pytest.raises(UserError, match="The vector of '1' has no direction"):
        build(tmp_path / "zero.lance", np.concatenate([VECTORS[:1], np.zeros((1, DIM), np.float32)]))
    with pytest.raises(UserError, match="holds vectors of 32 numbers"):
        flat.search(np.ones(3))
    with pytest.raises(UserError, match="nothing is near to it"):
        flat.search(np.zeros(DIM))
