"""The verb that scores a trained model: evaluate."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json, split_names


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    table: Annotated[Path, typer.Argument(help="Records with the target columns, or with the inputs to be aligned.")],
    task: Annotated[
        str | None,
        typer.Option(help="targets, retrieval, zero-shot or few-shot; without it, what the model was trained for."),
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="For retrieval: two inputs, as photo,caption; without it, every two.")
    ] = None,
    rerank: Annotated[
        int | None, typer.Option(help="For retrieval: how many of each query's best the matching head ranks anew.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="For zero-shot and few-shot: the column with the labels, which are names.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="For zero-shot: the labels to choose from, where they are not all that --target has."),
    ] = None,
    templates: Annotated[
        str | None, typer.Option(help="For zero-shot: plain, simple, imagenet, or a file; see classify.")
    ] = None,
    shots: Annotated[
        str | None, typer.Option(help="For few-shot: examples of each label, several numbers with commas; 1,4,16.")
    ] = None,
    draws: Annotated[int | None, typer.Option(help="For few-shot: how often examples are drawn anew; 10.")] = None,
    name: Annotated[
        str | None, typer.Option("--input", help="For zero-shot and few-shot: the input to classify.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="For zero-shot: the text input that the labels are, where there are several.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.json and scores.parquet.")] = None,
    bad_records: BadRecords = "stop",
    as_json: Json = False,
) -> None:
    """Score a trained model on a table: every metric with its interval and chance level, and what each input is worth.

    A model of aligned inputs, as pretrain makes, is scored by how well they find each other (--task retrieval), how
    well it sorts records by the names of their labels (zero-shot), or with a few examples of each (few-shot).

    Example: [bold]sensorium evaluate runs/reviews test.csv --out runs/reviews/on-test[/bold]
    """
    from sensorium.console import Console
    from sensorium.evaluation.evaluate import evaluate as evaluate_model

    console = Console(quiet=as_json)
    with console.spinner("Scoring"):
        report = evaluate_model(
            run, table, task, out=out, bad_records=bad_records, pair=split_names(pair), rerank=rerank,
            target=target, labels=labels, templates=templates, input=name, text=text, shots=shots, draws=draws,
        )  # fmt: skip
    if as_json:
        print(json.dumps(report.to_dict()))
    console.print_table(report)
