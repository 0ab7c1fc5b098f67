"""Texts in little memory: one Arrow buffer instead of an object for each cell."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

DTYPE = pd.ArrowDtype(pa.large_string())


class CompactStrings:
    """Texts [N], None where a text is absent or empty.

    A forked process that reads a Python object writes its reference count and so copies the page it lies on; with one
    buffer for all texts the processes of a run share them, and a table takes little more than its characters.
    """

    def __init__(self, values: pa.Array):
        self._values = values

    @classmethod
    def from_objects(cls, values: np.ndarray | list[str | None]) -> "CompactStrings":
        """From objects [N], each a str or None."""
        return cls(pa.array(values, pa.large_string(), from_pandas=True))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> str | None:
        return self._values[int(index)].as_py() or None

    def take(self, index: Any) -> "CompactStrings":
        """The texts `index` (int64 [M] from 0, or bool [N]), in that order."""
        index = np.asarray(index)
        rows = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return CompactStrings(self._values.take(pa.array(rows)))

    def to_objects(self) -> np.ndarray:
        """object [N]: str or None."""
        texts = self._values.to_numpy(zero_copy_only=False)
        if pc.any(pc.equal(self._values, "")).as_py():
            texts[texts == ""] = None
        return texts

    def tolist(self) -> list[str | None]:
        """The texts as a list."""
        return [value or None for value in self._values.to_pylist()]


def to_series(values: pa.ChunkedArray) -> pd.Series:
    """Texts [N] as a column of a frame, null as an empty text, which means the same: that the cell is absent."""
    texts = _join_chunks(values.cast(pa.large_string()))
    return pd.Series(pd.arrays.ArrowExtensionArray(pc.fill_null(texts, "") if texts.null_count else texts))


def is_compact(column: pd.Series) -> bool:
    """Whether a frame's column is one that `to_series` made."""
    return column.dtype == DTYPE


def check_encoding(column: pd.Series) -> None:
    """Raises pyarrow.ArrowInvalid where a text of a compact column is not UTF-8."""
    column.array.__arrow_array__().validate(full=True)


def as_compact(column: pd.Series) -> CompactStrings | None:
    """The cells of a frame's column, in its own memory; None unless it is compact."""
    return CompactStrings(_join_chunks(column.array.__arrow_array__())) if is_compact(column) else None


def _join_chunks(values: pa.ChunkedArray) -> pa.Array:
    """All chunks as one array; a copy only where there are several."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
