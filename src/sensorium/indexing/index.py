"""An index: the embeddings of one input of many records, to be asked by any input of the model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError, unknown
from sensorium.indexing.building import PLAIN, Filled, Work, begin, extend, fill
from sensorium.indexing.embedding import embedder
from sensorium.indexing.fingerprint import fingerprint
from sensorium.indexing.query import Hit, nearest
from sensorium.indexing.source import source_of
from sensorium.indexing.store import EXACT, VECTOR, Facts, Store, quoted
from sensorium.indexing.tuning import tend
from sensorium.model import Model, load


class Index:
    """A LanceDB table of vectors with their keys and columns, and the model that made them.

    `Index.build` makes one, `Index.open` opens one; `filled` says what the last build or `add` did.
    """

    def __init__(self, store: Store, model: Model | None = None):
        self.store, self.filled = store, None
        self._model = model
        if model is not None:
            self._check(model)

    @classmethod
    def build(
        cls,
        model: Model,
        records: Table | list[dict] | str | Path,
        path: str | Path,
        *,
        input: str | None = None,
        key: str | None = None,
        run: str | Path | None = None,
        product_quantisation: bool = False,
        overwrite: bool = False,
        work: Work = PLAIN,
    ) -> "Index":
        """Embeds `input` of `records` (a table's file, shards, a folder of files, a Table, dicts) into a new index at
        `path`, NAME.lance. `key` is the column that names a record, `run` the model's folder, for later.

        Killed at any moment, the same call goes on after its last commit. Raises UserError, RecordError.
        """
        path = Path(path)
        source = source_of(model, records, input, key)
        embed = embedder(model, source.table, source.input, work.workers)
        facts = Facts(
            dim=_width(model, source.input),
            fingerprint=fingerprint(model),
            run=None if run is None else str(Path(run).absolute()),
            input=source.input,
            source=source.name,
            key=source.key,
        )
        store = begin(path, source, facts, overwrite)
        index = cls(store)
        index._model, index.filled = model, fill(store, source, embed, work)
        index._finish(product_quantisation)
        return index

    @classmethod
    def of_vectors(
        cls,
        batches: Iterable[pa.RecordBatch | pa.Table],
        path: str | Path,
        *,
        dim: int,
        columns: dict[str, pa.DataType] | None = None,
        product_quantisation: bool = False,
        exact_below: int = EXACT,
        overwrite: bool = False,
    ) -> "Index":
        """An index of vectors at hand: batches with `key` (text), `vector` (lists of `dim` numbers, of any length but
        0) and the further `columns`. Each batch is a commit, and only one is in memory. Raises UserError.
        """
        facts = Facts(dim=dim, exact_below=exact_below)
        index = cls(Store.create(Path(path), columns or {}, facts, overwrite))
        for batch in batches:
            index.store.add(_of_unit_length(pa.table(batch), index.store))
        index._finish(product_quantisation)
        return index

    @classmethod
    def open(cls, path: str | Path, model: Model | None = None) -> "Index":
        """The index at `path`. Queries by record need its model: the one given, else that of the folder it was in.

        Raises UserError when there is none, it is not finished, or the model is another.
        """
        store = Store.open(Path(path))
        if not store.state.finished:
            raise UserError(f"{path} is not finished; give the 'sensorium index' command that began it again.")
        return cls(store, model)

    def __len__(self) -> int:
        return len(self.store)

    @property
    def model(self) -> Model:
        """The model that made the vectors. Raises UserError when it is not where it was, or has changed since."""
        if self._model is None:
            run = self.store.facts.run
            if run is None or not Path(run).exists():
                where = f"was in {run}, which is not there" if run else "is not known"
                raise UserError(f"The model that {self.store.path} was made with {where}; name its folder with --run.")
            model = load(run)
            self._check(model)
            self._model = model
        return self._model

    def _check(self, model: Model) -> None:
        made, given = self.store.facts.fingerprint, fingerprint(model)
        if given != made:
            raise UserError(
                f"{self.store.path} was made with another model (its fingerprint is {made}, and this one's {given}),"
                " whose vectors mean something else; use that one, or index again."
            )

    def search(
        self, query: np.ndarray | dict[str, Any], top: int = 10, where: str | None = None, input: str | None = None
    ) -> list[Hit]:
        """The `top` records nearest to `query`, best first: a vector, float [dim], or a record with one input of the
        model ({"caption": "a red shoe"}); `input` says which where it has several. `where` is a filter in SQL on the
        columns, as "price < 50".

        Raises UserError for a query without content, an unknown column, a filter that is not understood.
        """
        if isinstance(query, dict):
            query = self._embed(query, input)
        return nearest(self.store, query, top, where)

    def _embed(self, record: dict[str, Any], input: str | None) -> np.ndarray:
        given = [
            spec.name
            for spec in self.model.schema.inputs
            if spec.name in self.model.encoders and any(record.get(column) is not None for column in spec.columns)
        ]
        if input is not None and input not in self.model.encoders:
            raise unknown("input", input, self.model.encoders.names)
        if input is None and len(given) != 1:
            told = (
                f"several inputs ({', '.join(given)}); say which with input" if given else "none of the model's inputs"
            )
            raise UserError(f"The query has {told}; they are {', '.join(self.model.encoders.names)}.")
        try:
            return self.model.embed([record], input or given[0])[0]
        except RecordError as error:
            raise UserError(f"The query {error.value} cannot be read: {error.reason}.") from error

    def add(self, records: Table | list[dict] | str | Path, *, input: str | None = None, work: Work = PLAIN) -> Filled:
        """Embeds `records` and adds them, each in the place of the one with its key. Raises UserError, RecordError."""
        facts = self.store.facts
        if facts.key is None:
            raise UserError(
                f"{self.store.path} names its records by the numbers of their rows, which those of other records would"
                " replace; index again with --key and a column that names them, then add."
            )
        if input not in (None, facts.input):
            raise UserError(f"{self.store.path} holds the input '{facts.input}', not '{input}'; leave out --input.")
        source = source_of(self.model, records, facts.input, facts.key or None)
        if source.key != facts.key:
            kind = "of files, by their paths" if facts.key == "" else f"of a table, by its column '{facts.key}'"
            raise UserError(f"{self.store.path} names records {kind}, and {source.name} does otherwise; give such.")
        embed = embedder(self.model, source.table, source.input, work.workers)
        self.filled = extend(self.store, source, embed, work)
        tend(self.store)
        return self.filled

    def delete(self, keys: Iterable[str] = (), where: str | None = None) -> int:
        """Removes the records with these keys, or those that the filter names; says how many. Raises UserError."""
        keys = list(keys)
        if bool(keys) == (where is not None):
            raise UserError("Say what to remove, by keys or by a filter, and by one of the two.")
        removed = self.store.delete(where if where is not None else quoted(keys))
        tend(self.store)
        return removed

    def _finish(self, product_quantisation: bool) -> None:
        self.store.remember(product_quantisation=product_quantisation)
        self.store.tidy(alone=True)
        tend(self.store)
        self.store.remember(finished=True)


def _width(model: Model, name: str) -> int:
    """The size of an embedding."""
    if name in model.projections:
        return model.projections[name].out_features
    return model.encoders[name].dim


def _of_unit_length(rows: pa.Table, store: Store) -> pa.Table:
    vectors = rows[VECTOR].combine_chunks().flatten().to_numpy().reshape(-1, store.facts.dim)  # [n, dim]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        worst = int(np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0))[:, 0])[0])
        raise UserError(f"The vector of '{rows['key'][worst]}' has no direction (zeros, or not finite); leave it out.")
    flat = pa.array((vectors / lengths).astype(np.float32).reshape(-1))
    kind = store.schema.field(VECTOR).type
    rows = rows.set_column(rows.column_names.index(VECTOR), VECTOR, pa.FixedSizeListArray.from_arrays(flat, type=kind))
    return rows.select(store.schema.names).cast(store.schema)
