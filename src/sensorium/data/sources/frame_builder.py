"""A frame built chunk by chunk from records that need not have the same columns, in little memory as it grows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data import strings
from sensorium.data.columns.parse import objects

Chunk = pa.Array | list[Any] | None  # None: no record of this chunk has the column

_TYPES = {str: pa.large_string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class FrameBuilder:
    """Records added chunk by chunk; a column is absent in the chunks that lack it, whether earlier or later ones."""

    def __init__(self):
        self._columns: dict[str, list[Chunk]] = {}
        self._counts: list[int] = []

    def add_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Adds a chunk of records: plain values by column."""
        for name in dict.fromkeys(name for record in records for name in record):
            self.add_column(name, [record.get(name) for record in records])
        self.end_chunk(len(records))

    def add_column(self, name: str, values: list[Any] | pa.Array) -> None:
        """Adds the cells of one column of the chunk that the next `end_chunk` ends."""
        chunks = self._columns.setdefault(name, [])
        chunks += [None] * (len(self._counts) - len(chunks))
        chunks.append(values if isinstance(values, pa.Array) else _to_chunk(values))

    def end_chunk(self, count: int) -> None:
        """Ends a chunk of `count` records."""
        self._counts.append(count)

    def build(self) -> pd.DataFrame:
        """All records so far, in order; texts as Arrow strings, absent ones empty."""
        index = pd.RangeIndex(sum(self._counts))
        return pd.DataFrame({name: self._join(chunks) for name, chunks in self._columns.items()}, index=index)

    def _join(self, chunks: list[Chunk]) -> pd.Series:
        """A column of all records: Arrow strings, numbers or booleans where nothing is lost by it, else objects."""
        chunks = chunks + [None] * (len(self._counts) - len(chunks))
        counted_chunks = list(zip(chunks, self._counts, strict=True))
        types = {chunk.type if isinstance(chunk, pa.Array) else list for chunk in chunks if chunk is not None}
        if types == {pa.large_string()}:
            texts = [pa.nulls(n, pa.large_string()) if chunk is None else chunk for chunk, n in counted_chunks]
            return strings.to_series(pa.chunked_array(texts))
        has_gaps = any(chunk is None or (isinstance(chunk, pa.Array) and chunk.null_count) for chunk in chunks)
        numeric = types <= {pa.int64(), pa.float64()} and (not has_gaps or types == {pa.float64()})
        if types and (numeric or (types == {pa.bool_()} and not has_gaps)):
            arrays = [
                np.full(n, np.nan) if chunk is None else chunk.to_numpy(zero_copy_only=False)
                for chunk, n in counted_chunks
            ]
            return pd.Series(np.concatenate(arrays))
        cells: list[Any] = []
        for chunk, count in counted_chunks:
            cells += [None] * count if chunk is None else chunk if isinstance(chunk, list) else chunk.to_pylist()
        return pd.Series(objects(cells), dtype=object)


def _to_chunk(values: list[Any]) -> Chunk:
    """Values of one plain type as an Arrow array; all others unchanged."""
    types = set(map(type, values)) - {type(None)}
    if not types:
        return None
    try:
        return pa.array(values, _TYPES[types.pop()]) if len(types) == 1 and types <= _TYPES.keys() else values
    except (OverflowError, pa.ArrowInvalid, UnicodeEncodeError):
        return values  # a whole number beyond 64 bits, half a character
