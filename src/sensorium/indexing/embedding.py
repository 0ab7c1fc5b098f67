"""Records turned into vectors, a batch at a time: absent ones are skipped, unreadable ones returned as errors."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sensorium.data.media.content import content_id, read_content
from sensorium.data.media.decoding import decode
from sensorium.data.records import Processor
from sensorium.data.scan import record_error
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.data.workers import map_in_order
from sensorium.errors import RecordError
from sensorium.model import Model

BATCH = 64
_NO_ROWS = np.zeros(0, dtype=np.int64)
_ABSENT = 0  # the content id of an absent input; others have the hash of their content


class Embedded(NamedTuple):
    """Of a batch: records with the input, int64 [n], their vectors, float32 [n, E], how many lack it, the errors."""

    rows: np.ndarray
    vectors: np.ndarray
    absent: int
    bad: list[RecordError]


class _Decoded(NamedTuple):
    """A batch of records: which have the input, int64 [n]; the position of each one's content in `inputs`, int64 [n], a
    padded batch of distinct contents (None without any); how many lack it; errors."""

    rows: np.ndarray
    positions: np.ndarray
    inputs: dict[str, Tensor] | None
    absent: int
    bad: list[RecordError]


def embedder(model: Model, table: Table, name: str, workers: int = 0) -> Callable[[Iterable[int]], Iterator[Embedded]]:
    """A function that takes the numbers of records, int from 0, and gives the vectors of their input `name`, BATCH at a
    time and in the same order; to be called once. Within a batch, equal contents are embedded once.

    `workers` processes read the records. They start here, as they have to be forked before LanceDB starts its threads,
    and which records are to be embedded is known only after that."""
    requested: list[Iterable[int]] = []

    def row_batches() -> Iterator[np.ndarray]:
        yield from repeat(_NO_ROWS, 2 * workers)  # so many are taken before the first is handed back
        rows = np.fromiter(requested[0], dtype=np.int64)
        yield from (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))

    spec = next(spec for spec in table.schema.inputs if spec.name == name)
    decoded_batches = map_in_order(partial(_decode, table, spec, model.processors[name]), row_batches(), workers)
    if workers:
        with warnings.catch_warnings():
            # Where LanceDB is imported already, it restarts its threads in each worker, which has no use for them.
            warnings.simplefilter("ignore", RuntimeWarning)
            next(decoded_batches)

    def embed(rows: Iterable[int]) -> Iterator[Embedded]:
        requested.append(rows)
        model.eval()
        for decoded in decoded_batches:
            yield Embedded(decoded.rows, _vectors(model, name, decoded), decoded.absent, decoded.bad)

    return embed


@torch.no_grad()
def _vectors(model: Model, name: str, decoded: _Decoded) -> np.ndarray:
    if decoded.inputs is None:
        return np.zeros((0, 0), dtype=np.float32)
    inputs = {key: tensor.to(model.device) for key, tensor in decoded.inputs.items()}
    vectors = model.embedding(name, model.encode({name: inputs})[name]).cpu().numpy()  # [distinct, E]
    return vectors[decoded.positions]  # [n, E]


def _decode(table: Table, spec: InputSpec, processor: Processor, rows: np.ndarray) -> _Decoded:
    tensors_by_content: dict[int, dict[str, Tensor] | None] = {_ABSENT: None}
    content_by_row, bad = {}, []
    for row in rows.tolist():
        value = table.value(row, spec)
        try:
            content = read_content(value, table.root) if spec.modality in MEDIA and value is not None else value
            content_hash = _ABSENT if content is None else content_id(content)
            if content_hash not in tensors_by_content:
                decoded = decode(spec.decoder, content, table.root, **processor.decoding)
                tensors_by_content[content_hash] = None if decoded is None else processor(decoded)
        except ValueError as error:
            bad.append(record_error(table, row, spec, error))
            continue
        content_by_row[row] = content_hash
    distinct = {content: tensors for content, tensors in tensors_by_content.items() if tensors is not None}
    position_of = {content: position for position, content in enumerate(distinct)}
    position_by_row = {row: position_of[content] for row, content in content_by_row.items() if content in position_of}
    inputs = processor.pad(list(distinct.values())) if distinct else None
    present = np.fromiter(position_by_row, dtype=np.int64)
    positions = np.fromiter(position_by_row.values(), dtype=np.int64)
    return _Decoded(present, positions, inputs, len(content_by_row) - len(position_by_row), bad)
