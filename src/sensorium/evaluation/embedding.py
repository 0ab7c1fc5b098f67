"""Embeddings of one input of a table's records: nothing else is decoded, and each content is encoded once."""

import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from sensorium.data.scan import content_ids, drop_bad_records, scan
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.errors import RecordError
from sensorium.features import Batch
from sensorium.model import Model

FEW = 200  # records that are read by this process alone


class Checked(NamedTuple):
    """The records of a table that can be read.

    ids: by input name, int64 [N]: a hash of the content, 0 where it is absent. bad: what was wrong with the others.
    """

    table: Table
    ids: dict[str, np.ndarray]
    bad: list[RecordError]


def narrowed(table: Table, names: list[str]) -> Table:
    """The same records with the inputs `names` alone."""
    inputs = [spec for spec in table.schema.inputs if spec.name in names]
    return table.under(table.schema.model_copy(update={"inputs": inputs}))


def check_records(table: Table, bad_records: str) -> Checked:
    """The records of `table` and the hashes of their contents.

    bad_records: "skip" decodes every record once and leaves out the bad ones; "stop" leaves decoding for later, and
    raises the error of the first file that cannot be opened.
    """
    if bad_records != "stop":
        readable, scanned = drop_bad_records(table, scan(table, workers_for(table)), bad_records)
        return Checked(readable, scanned.ids, scanned.bad)
    ids = content_ids(table)
    doubtful = np.zeros(len(table), bool)  # [N], what is in the table and could not be hashed
    for spec in table.schema.inputs:
        doubtful |= table.present(spec) & (ids[spec.name] == 0)
    if doubtful.any():
        doubtful_records = table.take(np.flatnonzero(doubtful))
        drop_bad_records(doubtful_records, scan(doubtful_records), "stop")
    return Checked(table, ids, [])


def workers_for(table: Table) -> int:
    """How many processes read the records: none for few, or where no input is a file."""
    reads = any(spec.modality in MEDIA for spec in table.schema.inputs)
    return max(1, min(4, os.cpu_count() or 1)) if reads and len(table) >= FEW else 0


@torch.no_grad()
def embed(
    model: Model, table: Table, name: str, batch_size: int = 64, workers: int = 0, precision: str = "fp32"
) -> np.ndarray:
    """float32 [N, E], unit length: the embedding of input `name` of each record; zeros where it is absent.

    precision: "fp32" or "bf16". Runs in evaluation mode and leaves the model in the mode it was in. Raises RecordError
    for a value that cannot be decoded.
    """
    was_training, pieces = model.training, []
    model.eval()
    try:
        for batch in model.batches(narrowed(table, [name]), batch_size, workers):
            with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
                vectors = model.embedding(name, model.encode(batch.inputs)[name])
            pieces.append(vectors.float().cpu().numpy())
    finally:
        model.train(was_training)
    return np.concatenate(pieces)  # [N, E]


def embed_once(model: Model, table: Table, name: str, ids: np.ndarray, precision: str = "fp32") -> np.ndarray:
    """As `embed`, but records of one content, by `ids` int64 [N], share its embedding; id 0 is an absent one."""
    present = np.flatnonzero(ids)
    first, inverse = np.unique(ids[present], return_index=True, return_inverse=True)[1:]
    order = np.argsort(first)  # files are read in the order of the table
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    distinct = table.take(present[first[order]])
    vectors = embed(model, distinct, name, workers=workers_for(narrowed(distinct, [name])), precision=precision)
    spread = np.zeros((len(ids), vectors.shape[1]), np.float32)
    spread[present] = vectors[position[inverse]]
    return spread  # [N, E]


@torch.no_grad()
def embed_batches(model: Model, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
    """By input, float32 [N, E], unit length: the embeddings of records whose batches are at hand, from a cache say."""
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in model.encoders.names}
    model.eval()
    for batch in batches:
        for name, features in model.encode(batch.inputs).items():
            pieces[name].append(model.embedding(name, features).cpu().numpy())
    return {name: np.concatenate(vectors) for name, vectors in pieces.items()}
