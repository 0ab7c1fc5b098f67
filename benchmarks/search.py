"""Search in a million vectors: memory of the build, recall at 10 and latency, beside an exact search in NumPy.

    python benchmarks/search.py FOLDER_OF_EMOJI [--rows 1000000] [--queries 200] [--noise 0.5]

The vectors are perturbed copies of real embeddings: all-MiniLM-L6-v2 (384 numbers) of the names and keywords of the
emoji, each copy moved by Gaussian noise whose length is `--noise` of the vector's, then brought back to length 1; the
queries are further such copies, which the index never saw. They are made block by block and go to the index and to a
file, from which NumPy then reads them through a memory map, block by block as well.

Memory is what the process took itself and shares with no file (Anonymous of /proc/PID/smaps_rollup), beside its whole
resident set, sampled five times a second while the index is built. Linux only.
"""

import argparse
import csv
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.data.schema import Column, Schema, make_inputs
from sensorium.encoders.transformers_text import TransformersText, TransformersTextConfig
from sensorium.indexing import Index
from sensorium.model import Model

BLOCK = 8192
TOP = 10
COLOURS = np.array(["red", "green", "blue", "black"])
FILTER = "colour = 'red'"


def embeddings(folder: Path) -> np.ndarray:
    """float32 [N, 384], unit length: of every distinct name and keyword of emoji.csv in English."""
    with open(folder / "emoji.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = {row["name"] for row in rows} | {word.strip() for row in rows for word in row["keywords"].split("|")}
    columns = [Column(name="text", kind="text", reason="stated")]
    config = TransformersTextConfig(model="minilm")
    encoder = TransformersText.build(config, [], {}, summary_only=True)
    model = Model({"text": encoder}, schema=Schema(columns=columns, inputs=make_inputs(columns)))
    return model.embed([{"text": text} for text in sorted(texts - {""})], "text")


def perturb(base: np.ndarray, count: int, noise: float, random: np.random.Generator) -> np.ndarray:
    """float32 [count, dim]: copies of random rows of `base`, moved by noise of that length."""
    moved = base[random.integers(len(base), size=count)]
    moved = moved + noise * random.standard_normal(moved.shape, dtype=np.float32) / np.sqrt(base.shape[1])
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def blocks(base: np.ndarray, rows: int, noise: float, file: Any) -> Iterator[pa.Table]:
    """The vectors as batches for the index; each is written to `file` too."""
    random = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        vectors = perturb(base, count, noise, random)
        file.write(vectors.data)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), base.shape[1])
        keys = [str(row) for row in range(start, start + count)]
        yield pa.table({"key": keys, "vector": flat, "colour": COLOURS[random.integers(4, size=count)]})


class Memory:
    """While entered, samples this process's own memory and resident set; `peak` holds megabytes of both."""

    def __enter__(self) -> "Memory":
        self.start, self.peak, self._ended = self._sample(), {"Anonymous": 0.0, "Rss": 0.0}, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            sample = self._sample()
            self.peak = {name: max(self.peak[name], sample[name]) for name in sample}

    @staticmethod
    def _sample() -> dict[str, float]:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
        return {name: int(kilobytes[name]) / 1000 for name in ("Anonymous", "Rss")}


def numpy_search(mapped: np.ndarray, query: np.ndarray) -> np.ndarray:
    """int64 [TOP]: an exact search of all vectors, block by block."""
    scores = np.concatenate([mapped[start : start + 65_536] @ query for start in range(0, len(mapped), 65_536)])
    nearest = np.argpartition(-scores, TOP)[:TOP]
    return nearest[np.argsort(-scores[nearest])]


def time_queries(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> tuple[list[Any], str]:
    """The results of each query, and the latencies in milliseconds."""
    results, latencies = [], []
    search(queries[0])
    for query in queries:
        start = time.perf_counter()
        results.append(search(query))
        latencies.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(latencies, (50, 95))
    return results, f"p50 {p50:7.1f} ms, p95 {p95:7.1f} ms, {len(queries)} queries one at a time"


def measure_build(base: np.ndarray, rows: int, noise: float, path: Path, plain: Path) -> None:
    """Builds the index at `path` and the file of the same vectors, `plain`; prints time and memory."""
    dim, start = base.shape[1], time.monotonic()
    with Memory() as memory, open(plain, "wb") as file:
        index = Index.of_vectors(blocks(base, rows, noise, file), path, dim=dim, columns={"colour": pa.string()})
    print(
        f"built in {time.monotonic() - start:.0f} s; memory before {memory.start['Anonymous']:.0f} MB of its own,"
        f" at most {memory.peak['Anonymous']:.0f} MB (resident, with files: {memory.peak['Rss']:.0f} MB);"
        f" all vectors are {rows * dim * 4 / 1e6:.0f} MB"
    )
    print(f"vector index: {index.store.state.vector_index or 'none, all vectors are compared'}")


def measure_queries(queries: np.ndarray, path: Path, plain: Path) -> None:
    """Searches with `queries`, float32 [Q, dim]; prints recall and latencies."""
    mapped = np.memmap(plain, np.float32, "r").reshape(-1, queries.shape[1])  # [rows, dim]
    index = Index.open(path)
    hits, latencies = time_queries(lambda query: index.search(query, TOP), queries)
    exact, numpy_latencies = time_queries(lambda query: numpy_search(mapped, query), queries)
    recalls = [
        np.isin(rows, [int(hit.key) for hit in query_hits]).mean() for rows, query_hits in zip(exact, hits, strict=True)
    ]
    spread = np.std(recalls) / np.sqrt(len(recalls))
    few = queries[: max(1, len(queries) // 10)]
    _, filtered_latencies = time_queries(lambda query: index.search(query, TOP, FILTER), few)
    print(f"recall at {TOP}: {np.mean(recalls):.4f} ± {1.96 * spread:.4f} against exact")
    print(f"ours:          {latencies}")
    print(f"exact, NumPy:  {numpy_latencies}")
    print(f"ours, a fourth left by a filter: {filtered_latencies}")


def main() -> None:
    """Builds, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.5)
    arguments = parser.parse_args()
    base = embeddings(arguments.source)
    print(
        f"{len(base):,} real embeddings of {base.shape[1]} numbers, {arguments.rows:,} copies, noise {arguments.noise}"
    )
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path, plain = Path(folder) / "million.lance", Path(folder) / "vectors.bin"
        measure_build(base, arguments.rows, arguments.noise, path, plain)
        queries = perturb(base, arguments.queries, arguments.noise, np.random.default_rng(1))
        measure_queries(queries, path, plain)


if __name__ == "__main__":
    main()
