"""The features of frozen encoders on disk: a frozen encoder runs once per distinct content."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import nn

from sensorium.data.records import Records, load
from sensorium.features import Features
from sensorium.files import whole_file, writing

BATCH = 64
FILES = ("pooled.bin", "lengths.bin", "tokens.bin")
CHUNK = 2**24  # bytes read at a time


class FeatureCache:
    """Features of one input of a table, by row; float32, memory-mapped, so memory does not grow with the table.
    `folder` holds the features of the distinct contents in the order of their first row, `positions`, int64 [N], says
    which of them a row has (−1: absent). With `tokens`, all tokens are kept; otherwise only the pooled vector."""

    def __init__(self, folder: Path, positions: np.ndarray, dim: int, tokens: bool):
        self.folder, self.positions, self.dim, self.tokens = folder, positions, dim, tokens
        self._open()

    def _open(self) -> None:
        self._lengths = np.fromfile(self.folder / "lengths.bin", np.int64)
        if len(self._lengths) == 0:  # no row has this input
            self._lengths = np.zeros(1, np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._pooled = _mapped(self.folder / "pooled.bin", self.dim)
        self._tokens = _mapped(self.folder / "tokens.bin", self.dim) if self.tokens else None

    def __getstate__(self) -> dict:
        return {key: getattr(self, key) for key in ("folder", "positions", "dim", "tokens")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()

    def take(self, index: np.ndarray) -> "FeatureCache":
        """The cache of the rows `index`, int64 [M], of this one's."""
        return FeatureCache(self.folder, self.positions[index], self.dim, self.tokens)

    def read(self, rows: np.ndarray) -> Features:
        """Features of the rows, int64 [B]: pooled float32 [B, D], tokens [B, T, D] (T = 1 without tokens)."""
        positions = self.positions[rows]
        present = positions >= 0
        stored_rows = np.where(present, positions, 0)
        pooled = torch.from_numpy(self._pooled[stored_rows])  # [B, D]
        if not self.tokens:
            return Features.one(pooled, torch.from_numpy(present))
        lengths = np.where(present, self._lengths[stored_rows], 0)
        span = np.arange(max(1, int(lengths.max(initial=0))))
        mask = span[None, :] < lengths[:, None]  # [B, T]
        index = np.where(mask, self._starts[stored_rows][:, None] + span[None, :], 0)
        tokens = torch.from_numpy(self._tokens[index])  # [B, T, D]
        real = torch.from_numpy(mask)
        return Features(torch.where(real[..., None], tokens, 0.0), real, torch.where(real[:, :1], pooled, 0.0))


class CacheJob:
    """What has to be cached of one input of one table; built before it is filled, so that its size is known first.
    `view` 0 is the input as it is. Any other is the input augmented, with randomness that is a function of (seed of the
    records, view, record key, input); of equal contents, of the first record's."""

    def __init__(
        self, root: Path, name: str, encoder: nn.Module, records: Records, tokens: bool, precision: str, view: int = 0
    ):
        self.name, self.encoder, self.tokens, self.precision = name, encoder, tokens, precision
        self.records = Records(records.table, {name: encoder.processor}, records.ids, seed=records.seed)
        self.epoch = view or None
        contents, first, inverse = _distinct(records.ids[name].numpy())
        self.rows, self.positions = first, inverse
        chance = [str(records.seed), str(view), *(records.table.keys[row] for row in first)] if view else []
        self.folder = root / _fingerprint(encoder, contents, tokens, precision, chance)

    def bytes(self) -> int:
        """Size on disk in bytes; with tokens, estimated from the first batch."""
        if not self.tokens or len(self.rows) == 0:
            return len(self.rows) * self.encoder.dim * 4
        features = self._encode(self.records.batch(self.rows[:BATCH]))
        per_row = 1 + features.mask.sum().item() / len(features.mask)
        return round(len(self.rows) * per_row * self.encoder.dim * 4)

    def fill(self, workers: int, advance: Callable[[int], None] | None = None) -> FeatureCache:
        """Runs the encoder over the contents that are missing, in fixed batches that are committed one by one, and
        opens the cache. Raises UserError when the disk refuses; committed batches stay and are not computed again."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            done = self._recover()
        starts = range(done, len(self.rows), BATCH)
        items = ((self.rows[start : start + BATCH], self.epoch) for start in starts)
        for batch in load(self.records, items, workers):
            features = self._encode(batch)
            with writing(self.folder):
                done = self._commit(features, done)
            if advance is not None:
                advance(len(batch.keys))
        return FeatureCache(self.folder, self.positions, self.encoder.dim, self.tokens)

    @torch.no_grad()
    def _encode(self, batch) -> Features:
        self.encoder.eval()
        device = next(self.encoder.parameters()).device
        inputs = batch.to(device).inputs[self.name]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return Features(*(tensor.cpu() for tensor in self.encoder(inputs)))

    def _commit(self, features: Features, done: int) -> int:
        lengths = features.mask.sum(dim=1).numpy()
        arrays = {"pooled.bin": features.pooled.float().numpy(), "lengths.bin": lengths.astype(np.int64)}
        if self.tokens:
            arrays["tokens.bin"] = features.tokens.float()[features.mask].numpy()
        for name, values in arrays.items():
            content = np.ascontiguousarray(values).tobytes()
            with open(self.folder / name, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # before done.json says that they are there
            self._sums[name] = crc32(content, self._sums.get(name, 0))
        done += len(lengths)
        sizes = {name: (self.folder / name).stat().st_size for name in arrays}
        with whole_file(self.folder / "done.json") as new:
            new.write_text(json.dumps({"rows": done, "sizes": sizes, "sums": self._sums}))
        return done

    def _recover(self) -> int:
        """Truncates the files to the last committed batch and gives its number of rows; 0 when a file is damaged."""
        for name in FILES:
            (self.folder / name).touch()
        try:
            done, sizes, self._sums = self._committed()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            done, sizes, self._sums = 0, {}, {}  # nothing is committed, or it is not whole: all of it is computed again
        for name in FILES:
            os.truncate(self.folder / name, sizes.get(name, 0))
        return done

    def _committed(self) -> tuple[int, dict[str, int], dict[str, int]]:
        """The rows that done.json says are there, and the size and checksum of each file, of which those that an
        earlier version wrote have none. Raises ValueError when the files are not as it says."""
        committed = json.loads((self.folder / "done.json").read_text())
        done, sizes = committed["rows"], committed["sizes"]
        sums = {name: _checksum(self.folder / name, size) for name, size in sizes.items()}
        lengths = np.fromfile(self.folder / "lengths.bin", np.int64, done)
        tokens = {"tokens.bin": int(lengths.sum()) * self.encoder.dim * 4} if self.tokens else {}
        expected = {"pooled.bin": done * self.encoder.dim * 4, "lengths.bin": done * 8} | tokens
        if sizes != expected or sums != committed.get("sums", sums) or done > len(self.rows):
            raise ValueError("the files are not those that were committed")
        return done, sizes, sums


def _checksum(path: Path, size: int) -> int:
    """Of the first `size` bytes of a file. Raises ValueError when it has fewer."""
    total = 0
    with open(path, "rb") as file:
        while size:
            content = file.read(min(size, CHUNK))
            if not content:
                raise ValueError(f"{path} is too short")
            total, size = crc32(content, total), size - len(content)
    return total


def _distinct(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct contents in the order of their first row, that row, and each row's position or −1. Id 0 is absence."""
    contents, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    has_content = contents != 0
    order = np.argsort(first[has_content], kind="stable")
    rank = np.full(len(contents), -1)
    rank[np.flatnonzero(has_content)[order]] = np.arange(len(order))
    return contents[has_content][order], first[has_content][order], rank[inverse]


def _fingerprint(
    encoder: nn.Module, contents: np.ndarray, tokens: bool, precision: str, chance: Iterable[str] = ()
) -> str:
    """A hash of everything that the features depend on: weights, processor, contents, whether tokens are kept,
    precision, and `chance`, what the randomness of their augmentation depends on."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{type(encoder).__name__} {encoder.config.model_dump_json()} {tokens} {precision}".encode())
    for key, tensor in encoder.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)  # [bytes]
    with tempfile.TemporaryDirectory() as folder:
        encoder.processor.save(Path(folder))
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                digest.update(file.read_bytes())
    digest.update(np.ascontiguousarray(contents).data)
    digest.update("\0".join(chance).encode())
    return digest.hexdigest()


def _mapped(path: Path, dim: int) -> np.ndarray:
    """float32 [rows, dim], memory-mapped."""
    if path.stat().st_size == 0:
        return np.zeros((1, dim), np.float32)
    return np.memmap(path, np.float32, "r").reshape(-1, dim)  # [rows, D]
