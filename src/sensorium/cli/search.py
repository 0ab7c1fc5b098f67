"""The verbs of search: index, unindex and search."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json

_Where = typer.Option(help="Filter in SQL on the columns, as \"price < 50 AND colour = 'red'\".")


def _refuse_product_quantisation(requested: bool) -> None:
    if requested:  # shell completion and --help do not pay for the import
        from sensorium.indexing.maintenance import refuse_product_quantisation

        refuse_product_quantisation(requested)


def index(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder, whose model embeds.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of pictures (or sounds, films), however deep; a table, whose columns are kept to filter by;"
            " tar shards."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the index; ends in .lance.")],
    input: Annotated[
        str | None, typer.Option(help="Which of the model's inputs to index, where SOURCE has several.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Column that names a record; else the model's key, else the row's number.")
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the index that is there; records with the same key are replaced.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the index that is there.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that read files beside the one that embeds.")] = 0,
    bad_records: BadRecords = "stop",
    product_quantisation: Annotated[
        bool, typer.Option("--product-quantisation", hidden=True, callback=_refuse_product_quantisation)
    ] = False,
    as_json: Json = False,
) -> None:
    """Embed records into a LanceDB table that can be searched by any of the model's inputs.

    Stopped or killed, the same command goes on where it was.

    Example: [bold]sensorium index runs/pairs pictures/ --out shop.lance[/bold]
    """
    from sensorium.indexing.commands import index as index_records

    summary = index_records(
        run, source, out, input=input, key=key, add=add, overwrite=overwrite, workers=workers,
        bad_records=bad_records, quiet=as_json,
    )  # fmt: skip
    if as_json:
        print(json.dumps(summary))


def unindex(
    index: Annotated[Path, typer.Argument(help="The index's folder.")],
    key: Annotated[list[str] | None, typer.Option(help="Key of a record to remove; again for several.")] = None,
    where: Annotated[str | None, _Where] = None,
    as_json: Json = False,
) -> None:
    """Remove records from an index, by their keys or by a filter.

    Example: [bold]sensorium unindex shop.lance --key shoes/17.jpg[/bold]
    """
    from sensorium.indexing.commands import unindex as remove_records

    summary = remove_records(index, key or [], where, quiet=as_json)
    if as_json:
        print(json.dumps(summary))


def search(
    index: Annotated[Path, typer.Argument(help="The index's folder.")],
    query: Annotated[str, typer.Argument(help="A picture's, sound's or film's file; anything else is a text.")],
    input: Annotated[str | None, typer.Option(help="Which of the model's inputs the query is.")] = None,
    top: Annotated[int, typer.Option(help="How many records to print.")] = 10,
    where: Annotated[str | None, _Where] = None,
    run: Annotated[
        Path | None, typer.Option(help="The model's folder, where it is no longer where it was at indexing.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the records of an index nearest to a query: key, cosine, columns.

    Example: [bold]sensorium search shop.lance "a red shoe" --where "price < 50"[/bold]
    """
    from sensorium.indexing.commands import search as search_index

    hits = search_index(index, query, input=input, top=top, where=where, run=run, quiet=as_json)
    if as_json:
        print(json.dumps({"hits": [hit._asdict() for hit in hits]}, ensure_ascii=False))
