"""A frame made piece by piece of records that need not have the same columns, kept compact as it grows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data import strings
from sensorium.data.columns.parse import objects

Piece = pa.Array | list[Any] | None  # None: no record of this piece has the column

_TYPES = {str: pa.large_string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class FrameBuilder:
    """Records added some at a time; a column that comes late, or is missing in some, is absent elsewhere."""

    def __init__(self):
        self._columns: dict[str, list[Piece]] = {}
        self._counts: list[int] = []

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Some records more: plain values by column."""
        for name in dict.fromkeys(name for record in records for name in record):
            self.put(name, [record.get(name) for record in records])
        self.close(len(records))

    def put(self, name: str, values: list[Any] | pa.Array) -> None:
        """The cells of one column for the records that the next `close` counts."""
        pieces = self._columns.setdefault(name, [])
        pieces += [None] * (len(self._counts) - len(pieces))
        pieces.append(values if isinstance(values, pa.Array) else _piece(values))

    def close(self, count: int) -> None:
        """Ends a piece of `count` records."""
        self._counts.append(count)

    def frame(self) -> pd.DataFrame:
        """All records so far, in order; texts as Arrow strings, absent ones empty."""
        index = pd.RangeIndex(sum(self._counts))
        return pd.DataFrame({name: self._column(pieces) for name, pieces in self._columns.items()}, index=index)

    def _column(self, pieces: list[Piece]) -> pd.Series:
        pieces = pieces + [None] * (len(self._counts) - len(pieces))
        kinds = {piece.type if isinstance(piece, pa.Array) else list for piece in pieces if piece is not None}
        if kinds == {pa.large_string()}:
            whole = [pa.nulls(n, pa.large_string()) if piece is None else piece for piece, n in self._with(pieces)]
            return strings.series(pa.chunked_array(whole))
        holes = any(piece is None or (isinstance(piece, pa.Array) and piece.null_count) for piece in pieces)
        numeric = kinds <= {pa.int64(), pa.float64()} and (not holes or kinds == {pa.float64()})
        if kinds and (numeric or (kinds == {pa.bool_()} and not holes)):
            parts = [
                np.full(n, np.nan) if piece is None else piece.to_numpy(zero_copy_only=False)
                for piece, n in self._with(pieces)
            ]
            return pd.Series(np.concatenate(parts))
        cells: list[Any] = []
        for piece, count in self._with(pieces):
            cells += [None] * count if piece is None else piece if isinstance(piece, list) else piece.to_pylist()
        return pd.Series(objects(cells), dtype=object)

    def _with(self, pieces: list[Piece]) -> list[tuple[Piece, int]]:
        return list(zip(pieces, self._counts, strict=True))


def _piece(values: list[Any]) -> Piece:
    """Values of one plain type as an Arrow array; others as they are."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return None
    try:
        return pa.array(values, _TYPES[kinds.pop()]) if len(kinds) == 1 and kinds <= _TYPES.keys() else values
    except (OverflowError, pa.ArrowInvalid, UnicodeEncodeError):
        return values  # a whole number beyond 64 bits, half a character
