"""Verbs that use a trained model: evaluate, predict and convert."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json, names


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
        int | None,
        typer.Option(help="For retrieval: how many of each query's best the matching head ranks anew."),
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
    from sensorium.evaluation.tasks import evaluate_task
    from sensorium.model import load

    model = load(run)
    console = Console(quiet=as_json)
    with console.spinner("Scoring"):
        report = evaluate_task(
            model, model.read(table), task, out=out, bad_records=bad_records, pair=names(pair), rerank=rerank,
            target=target, labels=labels, templates=templates, input=name, text=text, shots=shots, draws=draws,
        )  # fmt: skip
    if as_json:
        print(json.dumps(report.to_dict()))
    console.print_table(report)


def predict(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    table: Annotated[Path, typer.Argument(help="Records; a column that is missing is absent in every record.")],
    out: Annotated[Path, typer.Option(help="File for the predictions: .parquet, .csv or .jsonl.")] = Path(
        "predictions.parquet"
    ),
    bad_records: BadRecords = "stop",
    as_json: Json = False,
) -> None:
    """Write a trained model's decisions and probabilities for every record of a table.

    Example: [bold]sensorium predict runs/reviews new.csv --out predictions.parquet[/bold]
    """
    from sensorium.inference.predict import predict as run_predict

    summary = run_predict(run, table, out, bad_records=bad_records, quiet=as_json)
    if as_json:
        print(json.dumps(summary))


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="A published CLIP or SigLIP: a folder of Transformers or open_clip, a file of weights, a model on the"
            " hub; or an ALBEF's file of weights; or a BERT of Transformers, which an ALBEF begins with. Or, with --to,"
            " a run's or a checkpoint's folder."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    to: Annotated[
        str | None,
        typer.Option(help="transformers, open_clip or albef; without it, a checkpoint of Sensorium's is written."),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help="gelu, gelu_tanh or quick_gelu, for a bare file of weights that does not say its own."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="With a BERT: file of weights of a vision transformer of timm (DeiT), for the pictures."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="With an ALBEF's file: its tokenizer.json, or a folder that has one, if none is beside it."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in OUT.")] = False,
) -> None:
    """Turn a published CLIP, SigLIP or ALBEF into a checkpoint, or a checkpoint into what others open.

    The tokenizer and the preparation of pictures come with it. Without a tokenizer an ALBEF takes token numbers alone.
    A weight that is missing, unknown or does not fit is an error.

    Example: [bold]sensorium convert openai/clip-vit-base-patch32 runs/openai[/bold]
    """
    from sensorium.families.checkpoints import convert as run

    model = run(source, out, to, activation, overwrite, picture, tokenizer)
    print(f"{source} is written to {out}, {f'for {to}' if to else 'as a checkpoint'}.")
    if to is None and any(encoder.processor is None for encoder in model.encoders.modules_once):
        print(f"No tokenizer stands beside {source}, so the model takes token numbers alone; name one by --tokenizer.")
