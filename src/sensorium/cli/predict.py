"""The verb that decides for every record of a table: predict."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json


def predict(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    table: Annotated[Path, typer.Argument(help="Records; a column that is missing is absent in every record.")],
    out: Annotated[Path, typer.Option(help="File for the predictions: .parquet, .csv or .jsonl.")] = Path(
        "predictions.parquet"
    ),
    bad_records: BadRecords = "skip",
    with_inputs: Annotated[bool, typer.Option("--with-inputs", help="Add the columns that the model reads.")] = False,
    as_json: Json = False,
) -> None:
    """Write a trained model's decisions and probabilities for every record of a table.

    Example: [bold]sensorium predict runs/reviews new.csv --out predictions.parquet[/bold]
    """
    from sensorium.inference.predict import predict as run_predict

    summary = run_predict(run, table, out, bad_records=bad_records, with_inputs=with_inputs, quiet=as_json)
    if as_json:
        print(json.dumps(summary))
