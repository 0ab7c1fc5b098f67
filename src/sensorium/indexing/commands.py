"""The functions behind the verbs `index`, `search` and `unindex`; each prints, and returns plain values."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sensorium.console import Console
from sensorium.data.media.extensions import ENDINGS
from sensorium.data.scan import write_bad_records
from sensorium.data.table import Table
from sensorium.errors import UserError, check_known, counted
from sensorium.indexing.building import Work
from sensorium.indexing.index import Index
from sensorium.indexing.printing import describe, hits_table
from sensorium.indexing.query import Hit
from sensorium.model import HasModel, Model, model_of
from sensorium.nn.torch_state import usual_torch


@usual_torch()
def index(
    run: HasModel | Model | str | Path,
    source: Table | list[dict] | str | Path,
    out: str | Path,
    *,
    input: str | None = None,
    key: str | None = None,
    add: bool = False,
    overwrite: bool = False,
    workers: int = 0,
    bad_records: str = "stop",
    quiet: bool = False,
) -> dict[str, Any]:
    """Embeds the records of `source` with a model, that of a Run or of a folder, into the index `out`, NAME.lance.

    source: a folder of files, a table's file, tar shards, a Table, or dicts. input: which of the model's inputs, where
    the source has several. key: the column that names a record; else the model's key, else the row's number.
    add: to the index that is there, each record in the place of the one with its key. overwrite: replaces the index.
    workers: processes that read files. bad_records: "stop", or "skip" to list in bad_records.csv beside the index what
    cannot be read. Prints what was done unless `quiet`.

    Returns {"out", "records", "embedded", "absent", "known", "set_aside", "bad_records", "left_out", "search"}, where
    search is {"kind": "exact"}, or "kind", "probes" and "refine" of the vector index. Raises UserError, RecordError."""
    check_known(("stop", "skip"), "way with bad records", bad_records)
    console, out = Console(quiet), Path(out)
    work = Work(bad_records, workers, lambda total: console.progress("Embedding", total))
    model = model_of(run)
    if add:
        if key or overwrite:
            raise UserError("With --add the index stays as it is: leave out --key, --overwrite.")
        target = Index.open(out, model)
        target.add(source, input=input, work=work)
    else:
        run_folder = None if isinstance(run, Model) else getattr(run, "folder", run)
        target = Index.build(
            model, source, out, input=input, key=key, run=run_folder, overwrite=overwrite, work=work
        )  # fmt: skip
    summary = _summarise(target)
    for sentence in describe(summary):
        console.print(sentence)
    return summary


def _summarise(index: Index) -> dict[str, Any]:
    """What the last build or addition did, and how the index is searched. Lists bad records in bad_records.csv."""
    out, result, vector_index = index.store.path, index.filled, index.store.state.vector_index
    bad_list = out.with_name("bad_records.csv") if result.bad else None
    if bad_list is not None:
        write_bad_records(result.bad, bad_list)
    return {
        "out": str(out),
        "records": len(index),
        "embedded": result.embedded,
        "absent": result.absent,
        "known": result.known,
        "set_aside": len(result.bad),
        "bad_records": bad_list and str(bad_list),
        "left_out": result.left_out,
        "search": {"kind": "exact"} if vector_index is None else vector_index.model_dump(exclude={"partitions"}),
    }


@usual_torch()
def search(
    index: str | Path,
    query: str,
    *,
    input: str | None = None,
    top: int = 10,
    where: str | None = None,
    run: HasModel | Model | str | Path | None = None,
    quiet: bool = False,
) -> list[Hit]:
    """The `top` records of an index nearest to `query`, best first: a picture's, sound's or video's file, or a text.

    input: which of the model's inputs the query is; else by the file's ending. where: a filter in SQL on the columns,
    as "price < 50". run: the model or its folder, where it is no longer where it was at indexing. Prints a table unless
    `quiet`. Raises UserError."""
    opened = Index.open(index, None if run is None else model_of(run))
    name = _input_of(opened.model, query, input)
    columns = next(spec.columns for spec in opened.model.schema.inputs if spec.name == name)
    if len(columns) > 1:
        raise UserError(f"The input '{name}' is several columns ({', '.join(columns)}), which only Python can ask by.")
    hits = opened.search({columns[0]: query}, top, where, name)
    Console(quiet).print_table(hits_table(hits, len(opened)))
    return hits


def _input_of(model: Model, query: str, requested: str | None) -> str:
    """Which of the model's inputs a query is: the one requested, else by a file's ending, else a text."""
    if requested is not None:
        check_known(model.encoders.names, "input", requested)
        return requested
    ending = query.rpartition(".")[2].lower() if "." in query else ""
    modality = next((modality for modality, endings in ENDINGS.items() if ending in endings), "text")
    names = [name for name in model.schema.inputs_of(modality) if name in model.encoders]
    kind = "a text" if modality == "text" else f"a file ({modality})"
    if not names:
        raise UserError(
            f"The query {query!r} is {kind}, and the model has no such input; it has {', '.join(model.encoders.names)}."
        )
    if len(names) > 1:
        raise UserError(
            f"The query is {kind}, and the model has several such inputs; say which with --input {names[0]}."
        )
    return names[0]


def unindex(
    index: str | Path, keys: Iterable[str] = (), where: str | None = None, *, quiet: bool = False
) -> dict[str, Any]:
    """Removes from an index the records with these keys, or those that pass the filter `where`, in SQL on the columns.
    Prints how many unless `quiet`. Returns {"out", "removed", "records"}. Raises UserError."""
    opened = Index.open(index)
    removed, records = opened.delete(keys, where), len(opened)
    Console(quiet).print(f"{counted(removed, 'record')} removed; {counted(records, 'record')} left in {index}.")
    return {"out": str(index), "removed": removed, "records": records}
