"""Verbs over tables alone: table, inspect and pack."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sensorium.cli.options import COLUMNS, SPLIT, BadRecords, Json, Targets, named_values, takes


def table(
    source: Annotated[
        Path,
        typer.Argument(
            help="File of VQA v2 questions, COCO captions or boxes, Visual Genome, NLVR2, Flickr8k, easy-VQA; or a"
            " table of turns."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The table: .csv, .tsv, .jsonl or .parquet.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures, which may lie in folders within it.")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="VQA v2: file of the annotations, with the answers.")] = None,
    answers: Annotated[
        str | None, typer.Option(help="Of turns: the speaker whose turns are learned; assistant if there is one.")
    ] = None,
    context: Annotated[int, typer.Option(help="Of turns: words and marks of a dialogue that are kept.")] = 128,
    bad_records: BadRecords = "stop",
    as_json: Json = False,
) -> None:
    """Make a table of a file that the field's data sets come as; every other verb reads the table.

    What the file is, is told by what stands in it: docs/readers.md lists the columns of each. A table with the columns
    conversation, turn, speaker and text becomes one of dialogues and answers.

    Example: [bold]sensorium table captions_val2014.json --images val2014 --out pairs.csv[/bold]
    """
    from sensorium.data.sources.dialogues import dialogues, is_dialogue
    from sensorium.data.sources.published import table as read_published
    from sensorium.data.sources.published import write
    from sensorium.errors import UserError, counted

    if is_dialogue(source):
        frame = dialogues(source, answers, context)
        missing, cut = "of an answer that is empty or opens a conversation", frame.attrs["cut"]
    elif images is None:
        raise UserError("Give the folder of the pictures with --images; a table of turns alone has none.")
    else:
        frame, cut = read_published(source, images, annotations, bad_records), 0
        missing = "whose pictures are not there"
    write(frame, out)
    left_out, columns = frame.attrs["left_out"], list(frame.columns)
    if as_json:
        print(json.dumps({"out": str(out), "records": len(frame), "left_out": left_out, "columns": columns}))
        return
    without = f", {left_out:,} left out {missing}" if left_out else ""
    shortened = f" {counted(cut, 'dialogue')} cut to the latest turns of {context} tokens." if cut else ""
    print(f"{counted(len(frame), 'record')} in {out}{without}: {', '.join(columns)}.{shortened}")


@takes(COLUMNS, SPLIT)
def inspect(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet file; media columns hold paths beside it.")],
    target: Targets = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read files.")] = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Look at a table before training: kinds, absences, classes, sizes, faults, and what fit would do.

    Names every broken file, copies and near copies (across the split above all), columns that give the target away,
    placeholders, spellings and more, each with what to do. What is found does not make the command fail.

    Example: [bold]sensorium inspect reviews.csv --target sentiment --group author --test 0.2[/bold]
    """
    from sensorium.console import Console
    from sensorium.inspection.inspect import inspect as inspect_table
    from sensorium.inspection.printing import print_inspection

    console = Console(quiet=as_json)
    with console.spinner("Looking at every record once"):
        inspection = inspect_table(table, workers=workers, target=target, **options)
    if as_json:
        print(json.dumps(inspection.to_dict()))
    print_inspection(inspection, console.out)


def pack(
    table: Annotated[Path, typer.Argument(help="A table, or any other source of records that fit takes.")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards: 000000.tar, 000001.tar, ...")],
    records: Annotated[int, typer.Option(help="Records in a shard.")] = 1000,
    seed: Annotated[int, typer.Option(help="Number that the order of the records follows from.")] = 0,
    shuffle: Annotated[bool, typer.Option(help="Put the records in a random order, or keep that of the table.")] = True,
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=KIND where the guess is not what is meant: image, audio, text, ...")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Write a table as tar shards of WebDataset's form: few large files, which copy and read faster than many small.

    Pictures and sounds go in byte for byte; all other cells of a record are its .json. Needs the extra: pip install
    'sensorium\\[shards]'.

    Example: [bold]sensorium pack reviews.csv shards --records 1000[/bold]
    """
    from sensorium.data.sources.write_shards import pack as write_shards

    columns = named_values(column, "--column")
    summary = write_shards(table, out, columns, records, seed if shuffle else None, overwrite)
    sentence = f"{summary['records']} records in {summary['shards']} shards in {summary['out']}."
    print(json.dumps(summary) if as_json else sentence)
