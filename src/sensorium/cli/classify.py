"""The verb that labels without training: classify."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json


def classify(
    run: Annotated[Path, typer.Argument(help="A pretrained run's or a converted checkpoint's folder.")],
    pictures: Annotated[
        str,
        typer.Argument(
            help="What to classify: a folder of files, one file, a pattern in quotes as 'shop/*.jpg', or a table with"
            " the input's column."
        ),
    ],
    labels: Annotated[
        str, typer.Option(help='The labels with commas between, as "cat,dog,bird", or a text file with one a line.')
    ],
    templates: Annotated[
        str,
        typer.Option(
            help="Sentences the labels are put into: plain, simple (7), imagenet (80), or a text file with one a line,"
            " {} being the label's place."
        ),
    ] = "plain",
    top: Annotated[int, typer.Option(help="How many labels to give for each record.")] = 5,
    none_below: Annotated[
        str | None,
        typer.Option(help="Probability below which it is none of the labels; 'auto' has --support choose it."),
    ] = None,
    support: Annotated[
        Path | None, typer.Option(help="Table with known labels, which the probabilities are calibrated by.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column of --support that has the labels.")] = None,
    name: Annotated[
        str | None, typer.Option("--input", help="The input to classify, where the model has several.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The text input that the labels are, where the model has several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the predictions: .parquet, .csv or .jsonl.")] = None,
    bad_records: BadRecords = "stop",
    as_json: Json = False,
) -> None:
    """Sort pictures (or sounds, films, ...) by labels in words, with a model that aligns them with texts; no training.

    The labels are embedded once; every record gets the nearest, with probabilities.

    Example: [bold]sensorium classify runs/pairs pictures/ --labels "cat,dog,bird" --templates imagenet[/bold]
    """
    from sensorium.inference.classify import classify as classify_records

    summary = classify_records(
        run, pictures, labels, templates=templates, top=top, none_below=none_below, support=support, target=target,
        input=name, text=text, out=out, bad_records=bad_records, quiet=as_json,
    )  # fmt: skip
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
