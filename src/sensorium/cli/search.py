"""Verbs of search: index, unindex and search."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json

_Where = typer.Option(help="Filter in SQL on the columns, as \"price < 50 AND colour = 'red'\".")


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
    product_quantisation: Annotated[
        bool,
        typer.Option("--product-quantisation", help="Search by vectors made 32 times smaller; the recall is printed."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the index that is there.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that read files beside the one that embeds.")] = 0,
    bad_records: BadRecords = "stop",
    as_json: Json = False,
) -> None:
    """Embed records into a LanceDB table that can be searched by any of the model's inputs.

    Stopped or killed, the same command goes on where it was.

    Example: [bold]sensorium index runs/pairs pictures/ --out shop.lance[/bold]
    """
    from sensorium.console import Console
    from sensorium.indexing.building import Work
    from sensorium.indexing.commands import in_words, index_source

    console = Console(quiet=as_json)
    work = Work(bad_records, workers, lambda total: console.progress("Embedding", total))
    told = index_source(
        run, source, out, input=input, key=key, add=add, product_quantisation=product_quantisation,
        overwrite=overwrite, work=work,
    )  # fmt: skip
    if as_json:
        print(json.dumps(told))
    for line in in_words(told):
        console.print(line)


def unindex(
    index: Annotated[Path, typer.Argument(help="The index's folder.")],
    key: Annotated[list[str] | None, typer.Option(help="Key of a record to remove; again for several.")] = None,
    where: Annotated[str | None, _Where] = None,
    as_json: Json = False,
) -> None:
    """Remove records from an index, by their keys or by a filter.

    Example: [bold]sensorium unindex shop.lance --key shoes/17.jpg[/bold]
    """
    from sensorium.errors import counted
    from sensorium.indexing.commands import unindex as remove

    told = remove(index, key or [], where)
    if as_json:
        print(json.dumps(told))
    else:
        print(f"{counted(told['removed'], 'record')} removed; {counted(told['records'], 'record')} left in {index}.")


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
    from sensorium.console import Console
    from sensorium.indexing.commands import ask
    from sensorium.indexing.printing import printed

    hits = ask(index, query, input=input, top=top, where=where, run=run)
    if as_json:
        print(json.dumps({"hits": [hit._asdict() for hit in hits]}, ensure_ascii=False))
    Console(quiet=as_json).print_table(printed(hits))
