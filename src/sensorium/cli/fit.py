"""The verb that trains on targets: fit."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sensorium.cli.options import COLUMNS, EPOCHS, FOLDER, SCREEN, SPLIT, TRAINING, Json, Targets, takes


@takes(COLUMNS, SPLIT, EPOCHS, TRAINING, FOLDER, SCREEN)
def fit(
    table: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, media columns holding paths beside it; or a folder of class folders,"
            " of tar shards or saved by Datasets; or 'shards/*.tar'."
        ),
    ] = None,
    target: Targets = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/fit"),
    fusion: Annotated[str | None, typer.Option(help="hybrid, late, concat, gated, ...: docs/fusions.md.")] = None,
    family: Annotated[
        str | None,
        typer.Option(help="albef: a picture and a question, fused by its layers; with --image, --question, --answer."),
    ] = None,
    image: Annotated[str | None, typer.Option(help="With --family: the column of pictures.")] = None,
    question: Annotated[str | None, typer.Option(help="With --family: the column of questions.")] = None,
    answer: Annotated[
        str | None,
        typer.Option(help="With --family: the column of answers, written by a decoder; NAME=class for a plain class."),
    ] = None,
    size: Annotated[str | None, typer.Option(help="With --family: tiny (as usual) or base, the published one.")] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="NAME:MODEL,setting=value, or TARGET=NAME:..., as causal:models/lm; see docs/writing.md."),
    ] = None,
    align: Annotated[
        list[str] | None,
        typer.Option(
            help="A,B or A,B=OBJECTIVE: inputs that a second loss brings together, contrastive (as usual), triplet,"
            " information, correlation or dual; again for more."
        ),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Folder of a trained run whose decisions are learned beside the target.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="fast, good (as usual) or best: time for quality (docs/experts.md).")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for trying a few settings, as 90s, 30m or 2h; the best on validation is taken."),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of a trained run: go on from it with the records of TABLE, which may have new classes. With"
            " --family: of a pre-trained run or a converted checkpoint, whose encoders and fusion it begins with.",
        ),
    ] = None,
    old_table: Annotated[
        Path | None,
        typer.Option(help="With --from, the file that run learned from, where its recipe does not lead to it."),
    ] = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Train a model on a table and score it on records it has not seen.

    Each column's kind is guessed from its values and printed, with --details the reason too.
    Without --test or --split the score is that of the validation records.

    Example: [bold]sensorium fit reviews.csv --target sentiment --group author --test 0.2 --out runs/reviews[/bold]
    """
    from sensorium.runs.run import fit as run_fit

    options["quiet"] |= as_json
    if head:
        options["head"] = head
    try:
        run = run_fit(
            table, out, target=target, fusion=fusion, family=family, image=image, question=question, answer=answer,
            size=size, align=align or None, teacher=teacher, preset=preset, budget=budget, start_from=start_from,
            old_table=old_table, **options,
        )  # fmt: skip
    except KeyboardInterrupt as error:
        message = str(error) or "Stopped."
        raise typer.Abort(f"{message} Go on with: sensorium fit --resume --out {out}") from error
    if as_json and run.speaks:
        print(json.dumps({"out": str(run.folder)} | run.metrics))
