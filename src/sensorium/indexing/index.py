"""An index: the embeddings of one input of many records, searched with a query by any input of the model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.console import shorten
from sensorium.data.notebook import facts_html, facts_text, join_few
from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError, counted, unknown
from sensorium.files import writable
from sensorium.indexing.building import PLAIN, IndexingResult, Work, add_missing, add_or_replace, open_or_create
from sensorium.indexing.embedding import embedder
from sensorium.indexing.fingerprint import fingerprint
from sensorium.indexing.maintenance import maintain_index, refuse_product_quantisation
from sensorium.indexing.query import Hit, find_nearest
from sensorium.indexing.source import open_source
from sensorium.indexing.store import EXACT, VECTOR, Facts, Store, key_filter
from sensorium.model import Model, load


class Index:
    """A LanceDB table of vectors with their keys and columns, and the model that made them. `Index.build` makes one,
    `Index.open` opens one; `filled` is the result of the last build or `add`."""

    def __init__(self, store: Store, model: Model | None = None):
        self.store, self.filled = store, None
        self._model = model
        if model is not None:
            self._check_fingerprint(model)

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
        overwrite: bool = False,
        work: Work = PLAIN,
        product_quantisation: bool = False,
    ) -> "Index":
        """Embeds `input` of `records` (a table's file, shards, a folder of files, a Table, dicts) into a new index at
        `path`, NAME.lance. `key` is the column that names a record, `run` the model's folder, for later queries.

        Killed at any moment, the same call goes on after its last commit. Product quantisation is no longer there.
        Raises UserError, RecordError."""
        refuse_product_quantisation(product_quantisation)
        path = writable(path)
        source = open_source(model, records, input, key)
        embed = embedder(model, source.table, source.input, work.workers)
        facts = Facts(
            dim=model.embedding_width(source.input),
            fingerprint=fingerprint(model),
            run=None if run is None else str(Path(run).absolute()),
            input=source.input,
            source=source.name,
            key=source.key,
        )
        store = open_or_create(path, source, facts, overwrite)
        index = cls(store)
        index._model, index.filled = model, add_missing(store, source, embed, work)
        index._finish()
        return index

    @classmethod
    def of_vectors(
        cls,
        batches: Iterable[pa.RecordBatch | pa.Table],
        path: str | Path,
        *,
        dim: int,
        columns: dict[str, pa.DataType] | None = None,
        exact_below: int = EXACT,
        overwrite: bool = False,
        product_quantisation: bool = False,
    ) -> "Index":
        """An index of vectors at hand: batches with `key` (text), `vector` (lists of `dim` numbers, of any length but
        0) and the further `columns`. Each batch is a commit, and only one is in memory. Product quantisation is no
        longer there. Raises UserError."""
        refuse_product_quantisation(product_quantisation)
        facts = Facts(dim=dim, exact_below=exact_below)
        index = cls(Store.create(Path(path), columns or {}, facts, overwrite))
        for batch in batches:
            index.store.add(_normalise(pa.table(batch), index.store))
        index._finish()
        return index

    @classmethod
    def open(cls, path: str | Path, model: Model | None = None) -> "Index":
        """The index at `path`. Queries by record need its model: `model`, else the one in the run's folder that the
        index names. Raises UserError when there is no index, it is not finished, or the model is another."""
        store = Store.open(Path(path))
        if not store.state.finished:
            raise UserError(f"{path} is not finished; give the 'sensorium index' command that began it again.")
        return cls(store, model)

    def __len__(self) -> int:
        return len(self.store)

    @property
    def _facts(self) -> dict[str, str]:
        facts, state = self.store.facts, self.store.state
        search = "exact" if state.vector_index is None else state.vector_index.kind
        named = {
            "in": self.store.path,
            "input": facts.input,
            "from": facts.source,
            "columns": join_few(list(self.store.columns)),
        }
        return {name: shorten(value, 80) for name, value in (named | {"search": search}).items() if value is not None}

    def __repr__(self) -> str:
        return facts_text(f"Index of {counted(len(self), 'record')}", self._facts)

    def _repr_html_(self) -> str:
        return facts_html(f"Index of {counted(len(self), 'record')}", self._facts)

    @property
    def model(self) -> Model:
        """The model that made the vectors. Raises UserError when it is not where it was, or has changed since."""
        if self._model is None:
            run = self.store.facts.run
            if run is None or not Path(run).exists():
                where = f"was in {run}, which is not there" if run else "is not known"
                raise UserError(f"The model that {self.store.path} was made with {where}; name its folder with --run.")
            model = load(run)
            self._check_fingerprint(model)
            self._model = model
        return self._model

    def _check_fingerprint(self, model: Model) -> None:
        expected, actual = self.store.facts.fingerprint, fingerprint(model)
        if actual != expected:
            raise UserError(
                f"{self.store.path} was made with another model (its fingerprint is {expected}, and this one's"
                f" {actual}), whose vectors mean something else; use that one, or index again."
            )

    def search(
        self, query: np.ndarray | dict[str, Any], top: int = 10, where: str | None = None, input: str | None = None
    ) -> list[Hit]:
        """The `top` records nearest to `query`, best first: a vector, float [dim], or a record with one input of the
        model ({"caption": "a red shoe"}); `input` says which where it has several. `where` is a filter in SQL on the
        columns, as "price < 50".

        Raises UserError for a query without content, an unknown column, a filter that is not understood."""
        vector = self._embed(query, input) if isinstance(query, dict) else query
        return find_nearest(self.store, vector, top, where)

    def _embed(self, record: dict[str, Any], input: str | None) -> np.ndarray:
        """The vector of a record's `input`, float32 [dim], or of the only one that it has."""
        names = self.model.encoders.names
        present = [
            spec.name
            for spec in self.model.schema.inputs
            if spec.name in names and any(record.get(column) is not None for column in spec.columns)
        ]
        if input is not None and input not in names:
            raise unknown("input", input, names)
        if input is None and len(present) != 1:
            several = f"several inputs ({', '.join(present)}); say which with input"
            inputs = several if present else "none of the model's inputs"
            raise UserError(f"The query has {inputs}; they are {', '.join(names)}.")
        try:
            return self.model.embed([record], input or present[0])[0]
        except RecordError as error:
            raise UserError(f"The query {error.value} cannot be read: {error.reason}.") from error

    def add(
        self, records: Table | list[dict] | str | Path, *, input: str | None = None, work: Work = PLAIN
    ) -> IndexingResult:
        """Embeds `records` and adds them, each in the place of the one with its key. Raises UserError, RecordError."""
        facts = self.store.facts
        if facts.key is None:
            raise UserError(
                f"{self.store.path} names its records by the numbers of their rows, which those of other records would"
                " replace; index again with --key and a column that names them, then add."
            )
        if input not in (None, facts.input):
            raise UserError(f"{self.store.path} holds the input '{facts.input}', not '{input}'; leave out --input.")
        source = open_source(self.model, records, facts.input, facts.key or None)
        if source.key != facts.key:
            kind = "of files, by their paths" if facts.key == "" else f"of a table, by its column '{facts.key}'"
            raise UserError(f"{self.store.path} names records {kind}, and {source.name} does otherwise; give such.")
        embed = embedder(self.model, source.table, source.input, work.workers)
        self.filled = add_or_replace(self.store, source, embed, work)
        maintain_index(self.store)
        return self.filled

    def delete(self, keys: Iterable[str] = (), where: str | None = None) -> int:
        """Removes the records with these keys, or those that pass the filter; returns how many. Raises UserError."""
        keys = list(keys)
        if bool(keys) == (where is not None):
            raise UserError("Say what to remove, by keys or by a filter, and by one of the two.")
        removed = self.store.delete(where if where is not None else key_filter(keys))
        maintain_index(self.store)
        return removed

    def _finish(self) -> None:
        maintain_index(self.store, exclusive=True)
        self.store.write_state(finished=True)


def _normalise(rows: pa.Table, store: Store) -> pa.Table:
    """`rows` in the schema of the index, vectors at unit length. Raises UserError for a vector without direction."""
    vectors = rows[VECTOR].combine_chunks().flatten().to_numpy().reshape(-1, store.facts.dim)  # [n, dim]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    invalid = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(invalid):
        key = rows["key"][int(invalid[0])]
        raise UserError(f"The vector of '{key}' has no direction (zeros, or not finite); leave it out.")
    flat = pa.array((vectors / lengths).astype(np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, type=store.schema.field(VECTOR).type)
    rows = rows.set_column(rows.column_names.index(VECTOR), VECTOR, column)
    return rows.select(store.schema.names).cast(store.schema)
