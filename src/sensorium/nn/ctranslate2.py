"""The weights in a model.bin of CTranslate2: named arrays after a short header, read with NumPy alone.

Format (CTranslate2's python/ctranslate2/specs/model_spec.py, version 6; little-endian): uint32 version, string name,
uint32 revision, uint32 count of variables; for each: string name, uint8 rank, uint32 dimensions, uint8 type, uint32
bytes, the values; then uint32 count of aliases, each two strings. A string is uint16 length and as many bytes, the last
of them 0. Versions since 4 have this layout."""

import math
import struct
from pathlib import Path

import numpy as np

_VERSIONS = range(4, 7)
_TYPES = ("f4", "i1", "i2", "i4", "f2", "bf16")  # by number; bfloat16 is read as its 16 bits
_BFLOAT16 = _TYPES.index("bf16")
_MOST_VARIABLES, _MOST_RANK = 100_000, 8


class _Reader:
    """Values out of bytes, one after another. Raises ValueError where they end too early."""

    def __init__(self, content: memoryview):
        self.content, self.position = content, 0

    def take(self, count: int) -> memoryview:
        """The next `count` bytes."""
        end = self.position + count
        if end > len(self.content):
            raise ValueError(f"{count} bytes are to come at {self.position}, of {len(self.content)}")
        start, self.position = self.position, end
        return self.content[start:end]

    def integers(self, kind: str, count: int = 1) -> tuple[int, ...]:
        """The next `count` numbers of a `kind` of struct."""
        layout = f"<{count}{kind}"
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def number(self, kind: str) -> int:
        """The next number of a `kind` of struct."""
        return self.integers(kind)[0]

    def string(self) -> str:
        """The next string."""
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode("utf-8")


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a model.bin by name, float32 where they are weights: integers with a scale are divided by it.

    Nothing in the file is run. Raises ValueError when it is damaged or of another format, OSError when it cannot be
    read."""
    try:
        arrays = _parse(_Reader(memoryview(Path(path).read_bytes())))
        return {name: _dequantise(array, arrays.get(f"{name}_scale")) for name, array in arrays.items()}
    except (ValueError, struct.error) as error:  # UnicodeDecodeError is one
        raise ValueError(f"{path} is no whole model of CTranslate2 ({error}); bring another copy") from error


def _parse(reader: _Reader) -> dict[str, np.ndarray]:
    version = reader.number("I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}")
    reader.string()  # the kind of model
    reader.number("I")  # its revision
    arrays = {}
    for _ in range(_count(reader)):
        name = reader.string()
        arrays[name] = _array(reader, name)
    for _ in range(_count(reader)):
        alias, name = reader.string(), reader.string()
        if name not in arrays:
            raise ValueError(f"'{alias}' stands for '{name}', which is not in it")
        arrays[alias] = arrays[name]
    return arrays


def _count(reader: _Reader) -> int:
    count = reader.number("I")
    if count > _MOST_VARIABLES:
        raise ValueError(f"{count} variables")
    return count


def _array(reader: _Reader, name: str) -> np.ndarray:
    rank = reader.number("B")
    if rank > _MOST_RANK:
        raise ValueError(f"'{name}' has {rank} dimensions")
    shape, kind, size = reader.integers("I", rank), reader.number("B"), reader.number("I")
    if kind >= len(_TYPES):
        raise ValueError(f"'{name}' is of type {kind}")
    dtype = np.dtype("<u2" if kind == _BFLOAT16 else f"<{_TYPES[kind]}")
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"'{name}' of shape {list(shape)} has {size} bytes")
    values = np.frombuffer(reader.take(size), dtype).reshape(shape)
    return (values.astype("<u4") << 16).view("<f4") if kind == _BFLOAT16 else values


def _dequantise(array: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """float32 of float or scaled integers; other integers as they are. scale: one number, or one a row."""
    if scale is not None:
        return array.astype(np.float32) / scale.reshape(scale.shape + (1,) * (array.ndim - scale.ndim))
    return array.astype(np.float32) if array.dtype.kind == "f" else array
