"""Records made batches: which rows make a step, values decoded and processed, chance drawn from record keys."""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sensorium.data.media.decoding import decode
from sensorium.data.scan import record_error
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.strings import CompactStrings
from sensorium.data.table import Table
from sensorium.data.targets import TargetColumn
from sensorium.data.workers import map_in_order
from sensorium.errors import UserError
from sensorium.features import Batch, Features

EVALUATION_BATCH = 256  # records that are scored at once
_SMALL = 2**16  # bytes
TensorsByName = dict[str, dict[str, Tensor]]


class Processor(Protocol):
    """Makes tensors of decoded values; belongs to an encoder, holds no weights.

    decoding: options of the decoder, such as {"rate": 16000}.
    """

    decoding: dict[str, Any]

    def __call__(self, value: Any, augment: bool = False) -> dict[str, Tensor]:
        """One decoded value as tensors without a batch dimension; `augment` draws from torch's global generator."""

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch with `mask`, bool [B, L]; None is an absent row."""


def no_tokenizer(name: str) -> UserError:
    """The sentence for a text in an input whose encoder came without its tokenizer."""
    return UserError(
        f"The model came without the tokenizer of '{name}', so it reads no text there; convert it anew, with"
        " --tokenizer."
    )


class Unread:
    """Replaces the processor of an encoder that came without the tokenizer of its input: every value has to be absent.
    Raises UserError for one that is not.
    """

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(self, name: str):
        self.name = name

    def __call__(self, value: Any, augment: bool = False) -> dict[str, Tensor]:
        """Raises UserError."""
        raise no_tokenizer(self.name)

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """Absent rows -> {"tokens": int64 [B, 1], "mask": bool [B, 1]}."""
        return {"tokens": torch.zeros(len(items), 1, dtype=torch.long), "mask": torch.zeros(len(items), 1).bool()}


class FeatureStore(Protocol):
    """Features of a table's records that were computed once, in one or several views, the first not augmented."""

    views: int

    def read(self, rows: np.ndarray, views: np.ndarray | None = None) -> Features:
        """Features of the records `rows`, int64 [B] from 0, each in its view, int64 [B] from 0; None is the first."""


class Records:
    """A table made batches: inputs in `stores` are read there, those in `processors` are decoded, no other is read; a
    target's own processor stands among them under its name.

    `ids`: by input name, int64 [N], content hashes; without them batches have none. All chance is a function of
    (`seed`, epoch, record key or content, input name). Pickles, for the loader's processes. Raises RecordError for a
    table with a cell that cannot be read, and UserError for a label that is unknown.
    """

    def __init__(
        self,
        table: Table,
        processors: dict[str, Processor],
        ids: dict[str, np.ndarray] | None = None,
        stores: dict[str, FeatureStore] | None = None,
        seed: int = 0,
    ):
        if table.misfits:
            raise table.misfits[0]
        self.table, self.seed, self.stores = table, seed, stores or {}
        self.processors = {name: processor for name, processor in processors.items() if name not in self.stores}
        self.specs = [spec for spec in table.schema.inputs if spec.name in self.processors or spec.name in self.stores]
        self.ids = {name: torch.as_tensor(values, dtype=torch.int64) for name, values in (ids or {}).items()}
        self.targets: dict[str, TargetColumn] = {
            target.name: table.target_column(target, processors.get(target.name))
            for target in table.schema.targets
            if target.name in table.frame.columns
        }
        # By target, the input that it is about and moves with where training changes that at random.
        self._about = {
            target.name: spec
            for target in table.schema.targets
            for spec in self.specs
            if spec.name == target.picture and target.name in self.targets
        }
        self._keys = CompactStrings.from_objects(table.keys)  # [N]
        self._views: dict[str, Records] = {}
        for spec in self.specs if len(table) else []:
            table.value(0, spec)  # converts the column here, once, and not in each process

    def __len__(self) -> int:
        return len(self.table)

    @property
    def decodes(self) -> bool:
        """True when any input or target has to be decoded; False when all come from stores and arrays."""
        if any(view.decodes for view in self._views.values()) or any(
            column.decodes for column in self.targets.values()
        ):
            return True
        return any(spec.name not in self.stores for spec in self.specs)

    def viewed(self, view: str, view_records: "Records") -> "Records":
        """These records with each input of `view_records` as the view `NAME/view`, beside their own inputs.

        view_records: the same records, prepared in another way; they may have inputs that these do not.
        """
        records = copy.copy(self)
        records._views = self._views | {view: view_records}
        return records

    def batch(self, rows: np.ndarray, epoch: int | None = None) -> Batch:
        """The records `rows`, int64 [B] from 0, as a batch; augmented, by the chance of `epoch`, when that is given.

        No rows at all make one row, of key "", that lacks every input and target. Raises RecordError for a value that
        cannot be decoded.
        """
        rows = np.asarray(rows, dtype=np.int64)
        return self.complete(rows, self.decoded(rows, epoch), self.encoded_targets(rows, epoch), epoch)

    def batches(
        self, device: torch.device, rows: np.ndarray | None = None, size: int = EVALUATION_BATCH
    ) -> Iterator[Batch]:
        """All of the records, or the `rows`, int64 [M] from 0, in order, as batches on a device, to be scored."""
        rows = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(rows), size):
            yield self.batch(rows[start : start + size]).to(device)

    def decoded(self, rows: np.ndarray, epoch: int | None) -> TensorsByName:
        """The inputs of `rows` that do not come from a store: a worker's work."""
        if not self.decodes:
            return {}
        with _as_in_a_worker():
            inputs = {
                spec.name: self.processors[spec.name].pad([self._item(spec, int(row), epoch) for row in rows] or [None])
                for spec in self.specs
                if spec.name not in self.stores
            }
        return inputs | {
            f"{name}/{view}": value
            for view, records in self._views.items()
            for name, value in records.decoded(rows, epoch).items()
        }

    def encoded_targets(self, rows: np.ndarray, epoch: int | None = None) -> TensorsByName:
        """The targets of `rows` as tensors: a worker's work where there is one."""
        if epoch is None or not self._about:
            return {name: _encode_rows(column, rows) for name, column in self.targets.items()}
        with _as_in_a_worker():
            return {name: _encode_rows(self._moved(name, epoch), rows) for name in self.targets}

    def _moved(self, name: str, epoch: int) -> TargetColumn:
        """The column of a target, which moves with what it is about as that is changed in `epoch`."""
        spec, column = self._about.get(name), self.targets[name]
        if spec is None or spec.name in self.stores or not self._can_move(spec):
            return column

        def move(row: int, points: Sequence[float]) -> Sequence[float]:
            torch.default_generator.manual_seed(draw(self.seed, epoch, self._chance_key(spec, row), spec.name))
            return self.processors[spec.name].move(points)

        return partial(column.moved, move=move)

    def _can_move(self, spec: InputSpec) -> bool:
        """Whether targets that are about an input, if any, can follow its random changes; else there are none."""
        return spec not in self._about.values() or getattr(self.processors[spec.name], "can_move", False)

    def complete(
        self, rows: np.ndarray, decoded: TensorsByName, targets: TensorsByName, epoch: int | None = None
    ) -> Batch:
        """The batch of `rows`, from their decoded inputs and their targets; what the batch has beside these is picked
        by index, without a loop over rows.
        """
        inputs = {
            spec.name: decoded[spec.name] if spec.name in decoded else self._stored(spec.name, rows, epoch)
            for spec in self.specs
        }
        inputs |= {name: value for name, value in decoded.items() if name not in inputs}
        index = torch.from_numpy(rows)
        ids = {name: _rows(values, index) for name, values in self.ids.items()}
        for view, records in self._views.items():
            ids |= {f"{name}/{view}": _rows(values, index) for name, values in records.ids.items()}
        return Batch(inputs, targets, ids, self._keys.take(rows).tolist() or [""])

    def _stored(self, name: str, rows: np.ndarray, epoch: int | None) -> Features:
        store, views = self.stores[name], None
        if epoch is not None and store.views > 1:
            drawn = [draw(self.seed, epoch, key, name, "view") % store.views for key in self._keys.take(rows).tolist()]
            views = np.array(drawn, dtype=np.int64)
        features = store.read(rows, views if len(rows) else None)
        return features if len(rows) else _absent_row(features)

    def _item(self, spec: InputSpec, row: int, epoch: int | None) -> dict[str, Tensor] | None:
        value, processor = self.table.value(row, spec), self.processors[spec.name]
        if value is None:
            return None
        try:
            decoded = decode(spec.decoder, value, self.table.root, **processor.decoding)
        except ValueError as error:
            raise record_error(self.table, row, spec, error) from error
        if decoded is None:
            return None
        if epoch is None or not self._can_move(spec):
            return processor(decoded)
        torch.default_generator.manual_seed(draw(self.seed, epoch, self._chance_key(spec, row), spec.name))
        return processor(decoded, augment=True)

    def _chance_key(self, spec: InputSpec, row: int) -> str:
        """What a value's augmentation depends on: the record's key, or the content of pictures and other media, so that
        values of one content are the same in an epoch, and are encoded once a step.
        """
        by_content = spec.modality in MEDIA and spec.name in self.ids
        return str(int(self.ids[spec.name][row])) if by_content else self._keys[row]


def draw(*use: Any) -> int:
    """A seed, 63 bits, that is a function of what it is used for: (seed, epoch, record key, use, ...)."""
    return int.from_bytes(hashlib.blake2b(json.dumps(use).encode(), digest_size=8).digest(), "little") >> 1


@contextmanager
def _as_in_a_worker() -> Iterator[None]:
    """Restores torch's CPU generator afterwards, so that the loader's draws leave the model's as they were.

    Works on one thread, as a worker does, because sums split over several threads differ in their last bits.
    """
    state, threads = torch.default_generator.get_state(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.default_generator.set_state(state)


def _encode_rows(column: TargetColumn, rows: np.ndarray) -> dict[str, Tensor]:
    """The targets of `rows`, or of one row that lacks it when there are none."""
    target = column(rows)
    return target if len(rows) else {key: tensor.new_zeros(1, *tensor.shape[1:]) for key, tensor in target.items()}


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """The rows `index` of `tensor`, or one row of zeros when there are none."""
    return tensor[index] if len(index) else tensor.new_zeros(1, *tensor.shape[1:])


def _absent_row(features: Features) -> Features:
    """One row that lacks the input, of the sizes and types of `features`, which have no rows."""
    tokens, mask, pooled = features
    length, width = max(tokens.shape[1], 1), tokens.shape[2]
    return Features(tokens.new_zeros(1, length, width), mask.new_zeros(1, length), pooled.new_zeros(1, pooled.shape[1]))


def epoch_batches(
    count: int,
    batch_size: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
    pieces: int = 1,
    order: np.ndarray | None = None,
) -> list[list[np.ndarray]]:
    """The rows of an epoch for one process: for each step `pieces` arrays, each int64 [n], of which some may be empty.

    All processes share one permutation of range(count), a function of (seed, epoch), or the `order` given instead,
    int64 [M], in which rows may repeat. A step takes the next `batch_size` rows of it (the last one may have fewer);
    of these process `rank` of `world` takes every `world`-th and cuts them in `pieces`. So all processes have the same
    number of steps and pieces.
    """
    rows = np.random.default_rng((seed, epoch)).permutation(count) if order is None else order
    steps = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    return [np.array_split(step[rank::world], pieces) for step in steps]


def load(records: Records, items: Iterable[tuple[np.ndarray, int | None]], workers: int) -> Iterator[Batch]:
    """The batch of each of `items`, (rows, epoch or None), in order, made by `workers` processes.

    None start when nothing is decoded. An error in a worker is raised here as it was there, and UserError when one was
    killed. Close the iterator to end the processes.
    """
    for rows, epoch, *packed in map_in_order(partial(_decode_item, records), items, workers if records.decodes else 0):
        inputs, targets = (
            {name: {key: torch.as_tensor(value) for key, value in tensors.items()} for name, tensors in named.items()}
            for named in packed
        )
        yield records.complete(rows, inputs, targets, epoch)


def _decode_item(
    records: Records, item: tuple[np.ndarray, int | None]
) -> tuple[np.ndarray, int | None, dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The rows and the epoch of `item`, the decoded inputs and the targets."""
    rows, epoch = np.asarray(item[0], dtype=np.int64), item[1]
    inputs, targets = (
        {name: {key: _shared(tensor) for key, tensor in tensors.items()} for name, tensors in named.items()}
        for named in (records.decoded(rows, epoch), records.encoded_targets(rows, epoch))
    )
    return rows, epoch, inputs, targets


def _shared(tensor: Tensor) -> Any:
    """A tensor as a process hands it on: in shared memory, or as an array, which goes through a pipe. That is cheaper
    for a small one, and works where the machine has no more shared memory, as in many containers.
    """
    if tensor.nbytes >= _SMALL:
        with suppress(RuntimeError):
            return tensor.share_memory_()
    return tensor.numpy()
