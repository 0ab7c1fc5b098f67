"""Records made vectors, some at a time: absent ones are passed over, unreadable ones handed back as errors."""

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
_NOBODY = np.zeros(0, dtype=np.int64)
_ABSENT = 0  # where others have the hash of their content


class Embedded(NamedTuple):
    """Of some records: which have the input, int64 [n] from 0, their vectors, float32 [n, E], how many lack it, and the
    errors of those that cannot be read.
    """

    rows: np.ndarray
    vectors: np.ndarray
    absent: int
    bad: list[RecordError]


class _Decoded(NamedTuple):
    """Records: which have the input, int64 [n]; where each one's content stands in `inputs`, int64 [n], a padded batch
    of distinct contents (None without any); how many lack it; errors.
    """

    rows: np.ndarray
    places: np.ndarray
    inputs: dict[str, Tensor] | None
    absent: int
    bad: list[RecordError]


def embedder(model: Model, table: Table, name: str, workers: int = 0) -> Callable[[Iterable[int]], Iterator[Embedded]]:
    """The function that gives the vectors of input `name` of the records, int from 0, that it is told, BATCH at a time
    and in their order; to be called once. Within a batch, equal contents are embedded once.

    `workers` processes read the records. They start here, as they have to be forked before LanceDB starts its threads,
    and which records are to be embedded is known only after.
    """
    told: list[Iterable[int]] = []

    def items() -> Iterator[np.ndarray]:
        yield from repeat(_NOBODY, 2 * workers)  # so many are taken before the first is handed back
        yield from _batches(told[0])

    spec = next(one for one in table.schema.inputs if one.name == name)
    decoded = map_in_order(partial(_decode, table, spec, model.processors[name]), items(), workers)
    if workers:
        with warnings.catch_warnings():
            # Where LanceDB is there already, it restarts its threads in each worker, which has no use for them.
            warnings.simplefilter("ignore", RuntimeWarning)
            next(decoded)

    def embed(rows: Iterable[int]) -> Iterator[Embedded]:
        told.append(rows)
        model.eval()
        for one in decoded:
            yield Embedded(one.rows, _vectors(model, name, one), one.absent, one.bad)

    return embed


def _batches(rows: Iterable[int]) -> Iterator[np.ndarray]:
    every = np.fromiter(rows, dtype=np.int64)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


@torch.no_grad()
def _vectors(model: Model, name: str, decoded: _Decoded) -> np.ndarray:
    if decoded.inputs is None:
        return np.zeros((0, 0), dtype=np.float32)
    inputs = {key: tensor.to(model.device) for key, tensor in decoded.inputs.items()}
    vectors = model.embedding(name, model.encode({name: inputs})[name]).cpu().numpy()  # [distinct, E]
    return vectors[decoded.places]  # [n, E]


def _decode(table: Table, spec: InputSpec, processor: Processor, rows: np.ndarray) -> _Decoded:
    items: dict[int, dict[str, Tensor] | None] = {_ABSENT: None}
    content_of, bad = {}, []
    for row in rows.tolist():
        value = table.value(row, spec)
        try:
            content = read_content(value, table.root) if spec.modality in MEDIA and value is not None else value
            mark = _ABSENT if content is None else content_id(content)
            if mark not in items:
                decoded = decode(spec.decoder, content, table.root, **processor.decoding)
                items[mark] = None if decoded is None else processor(decoded)
        except ValueError as error:
            bad.append(record_error(table, row, spec, error))
            continue
        content_of[row] = mark
    distinct = [mark for mark, item in items.items() if item is not None]
    place = {mark: place for place, mark in enumerate(distinct)}
    there = {row: place[mark] for row, mark in content_of.items() if mark in place}
    inputs = processor.pad([items[mark] for mark in distinct]) if distinct else None
    found, places = (np.fromiter(values, dtype=np.int64) for values in (there.keys(), there.values()))
    return _Decoded(found, places, inputs, len(content_of) - len(there), bad)
