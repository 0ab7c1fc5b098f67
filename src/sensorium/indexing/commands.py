"""What the verbs `index`, `unindex` and `search` do, with what they print as plain values."""

from pathlib import Path
from typing import Any

from sensorium.data.columns.infer import ENDINGS
from sensorium.data.scan import write_bad_records
from sensorium.errors import UserError, counted, unknown
from sensorium.indexing.building import PLAIN, Filled, Work
from sensorium.indexing.index import Index
from sensorium.indexing.query import Hit
from sensorium.model import Model, load


def index_source(
    run: Path,
    source: Path | str,
    out: Path,
    *,
    input: str | None = None,
    key: str | None = None,
    add: bool = False,
    product_quantisation: bool = False,
    overwrite: bool = False,
    work: Work = PLAIN,
) -> dict[str, Any]:
    """Makes the index `out` of `source`, or adds to it. Records set aside are listed in bad_records.csv beside it.

    Returns {"out", "records", "embedded", "absent", "known", "set_aside", "bad_records", "left_out", "search"}. Raises
    UserError.
    """
    if work.bad_records not in ("stop", "skip"):
        raise unknown("way with bad records", work.bad_records, ("stop", "skip"))
    model = load(run)
    if add:
        if key or product_quantisation or overwrite:
            raise UserError(
                "With --add the index stays as it is: leave out --key, --product-quantisation, --overwrite."
            )
        index = Index.open(out, model)
        index.add(source, input=input, work=work)
    else:
        index = Index.build(
            model, source, out, input=input, key=key, run=run, product_quantisation=product_quantisation,
            overwrite=overwrite, work=work,
        )  # fmt: skip
    return {"out": str(out), "records": len(index)} | _told(index.filled, out) | {"search": described(index)}


def _told(filled: Filled, out: Path) -> dict[str, Any]:
    listed = out.with_name("bad_records.csv") if filled.bad else None
    if listed is not None:
        write_bad_records(filled.bad, listed)
    return {
        "embedded": filled.embedded,
        "absent": filled.absent,
        "known": filled.known,
        "set_aside": len(filled.bad),
        "bad_records": listed and str(listed),
        "left_out": filled.left_out,
    }


def described(index: Index) -> dict[str, Any]:
    """How the index is searched: {"kind": "exact"}, or the vector index with its probes and the recall at 10."""
    tuned = index.store.state.tuned
    return {"kind": "exact"} if tuned is None else tuned.model_dump()


def in_words(told: dict[str, Any]) -> list[str]:
    """What `index_source` did, a sentence a line."""
    lines = [f"{counted(told['records'], 'record')} in {told['out']}, {told['embedded']:,} of them embedded now."]
    if told["known"]:
        lines.append(f"{counted(told['known'], 'record')} stood there already, from before the build was stopped.")
    if told["absent"]:
        lines.append(f"{counted(told['absent'], 'record')} without this input, so not in the index.")
    if told["set_aside"]:
        lines.append(f"{counted(told['set_aside'], 'record')} set aside; {told['bad_records']} says why.")
    if told["left_out"]:
        lines.append(f"Not kept to filter by: {', '.join(told['left_out'])}.")
    return [*lines, _search_in_words(told["search"])]


def _search_in_words(search: dict[str, Any]) -> str:
    if search["kind"] == "exact":
        return "Searches are exact: all vectors are compared."
    held = f"{search['recall']:.3f} (at least {search['low']:.3f}), on {search['queries']} held-out queries"
    said = (
        f"Searches go through {search['kind']} and look into {search['probes']} of {search['partitions']} partitions."
        f" Recall at 10 is {held}"
    )
    if search["refine"]:
        said += (
            f", with {search['refine']} times as many candidates scored anew with whole vectors,"
            f" and {search['coarse_recall']:.3f} without"
        )
    return f"{said}."


def ask(
    path: Path,
    query: str,
    *,
    input: str | None = None,
    top: int = 10,
    where: str | None = None,
    run: Path | None = None,
) -> list[Hit]:
    """The records of the index at `path` nearest to what was typed: a picture's, sound's or film's file, or a text.

    Raises UserError.
    """
    index = Index.open(path, None if run is None else load(run))
    name = _input_of(index.model, query, input)
    columns = next(spec.columns for spec in index.model.schema.inputs if spec.name == name)
    if len(columns) > 1:
        raise UserError(f"The input '{name}' is several columns ({', '.join(columns)}), which only Python can ask by.")
    return index.search({columns[0]: query}, top, where, name)


def _input_of(model: Model, query: str, stated: str | None) -> str:
    """Which of the model's inputs a query is: by a file's ending, else a text."""
    if stated is not None:
        if stated not in model.encoders:
            raise unknown("input", stated, model.encoders.names)
        return stated
    ending = query.rpartition(".")[2].lower() if "." in query else ""
    modality = next((kind for kind, endings in ENDINGS.items() if ending in endings), "text")
    fit = [spec.name for spec in model.schema.inputs if spec.modality == modality and spec.name in model.encoders]
    what = "a text" if modality == "text" else f"a file ({modality})"
    if not fit:
        raise UserError(
            f"The query {query!r} is {what}, and the model has no such input; it has {', '.join(model.encoders.names)}."
        )
    if len(fit) > 1:
        raise UserError(f"The query is {what}, and the model has several such inputs; say which with --input {fit[0]}.")
    return fit[0]


def unindex(path: Path, keys: list[str], where: str | None) -> dict[str, Any]:
    """Removes records from the index at `path`. Returns {"out", "removed", "records"}. Raises UserError."""
    index = Index.open(path)
    removed = index.delete(keys, where)
    return {"out": str(path), "removed": removed, "records": len(index)}
