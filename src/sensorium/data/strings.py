"""Texts kept compactly: one Arrow buffer in place of an object for each cell."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

DTYPE = pd.ArrowDtype(pa.large_string())


class Strings:
    """Texts [N], None where one is absent.

    A forked process that reads a Python object writes its reference count and so copies the page it lies on; with one
    buffer for all texts the processes of a run share them, and a table costs little more than its characters.
    """

    def __init__(self, values: pa.Array):
        self._values = values

    @classmethod
    def of(cls, values: np.ndarray | list[str | None]) -> "Strings":
        """From objects [N], each a str or None."""
        return cls(pa.array(values, pa.large_string(), from_pandas=True))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> str | None:
        return self._values[int(index)].as_py()

    def take(self, index: Any) -> "Strings":
        """The texts `index` (int64 [M] from 0, or bool [N]), in that order."""
        index = np.asarray(index)
        rows = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return Strings(self._values.take(pa.array(rows)))

    def objects(self) -> np.ndarray:
        """object [N]: str or None."""
        return self._values.to_numpy(zero_copy_only=False)

    def tolist(self) -> list[str | None]:
        """The texts as a list."""
        return self._values.to_pylist()


def series(values: pa.ChunkedArray) -> pd.Series:
    """Texts [N] as a column of a frame, null as an empty text, which says the same: that the cell is absent."""
    return pd.Series(pd.arrays.ArrowExtensionArray(pc.fill_null(values.cast(pa.large_string()), "")))


def is_compact(column: pd.Series) -> bool:
    """Whether a frame's column is one that `series` made."""
    return column.dtype == DTYPE


def compact(column: pd.Series) -> Strings | None:
    """The cells of a frame's column with None for absent ones, in its own memory; None unless it is compact."""
    if not is_compact(column):
        return None
    values = column.array.__arrow_array__().combine_chunks()
    empty = pc.equal(values, "")
    return Strings(pc.if_else(empty, pa.scalar(None, pa.large_string()), values) if pc.any(empty).as_py() else values)
