"""The verb that brings the inputs of records together: pretrain."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sensorium.cli.options import COLUMNS, EPOCHS, FOLDER, SCREEN, SPLIT, TRAINING, Json, takes


@takes(COLUMNS, SPLIT, EPOCHS, TRAINING, FOLDER, SCREEN)
def pretrain(
    family: Annotated[str, typer.Argument(help="The family of models: clip, albef, florence.")],
    table: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, media columns holding paths beside it; or a folder of tar shards or"
            " saved by Datasets; or 'shards/*.tar'."
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Column of pictures.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    audio: Annotated[str | None, typer.Option(help="Column of sounds.")] = None,
    inputs: Annotated[
        str | None, typer.Option(help="Columns A,B,C that are aligned; their kinds are guessed, or stated by --column.")
    ] = None,
    align: Annotated[
        list[str] | None,
        typer.Option(help="A,B or A,B=OBJECTIVE: two inputs to align; again for more. Without it every two are."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/pretrain"),
    size: Annotated[
        str | None,
        typer.Option(
            help="Of the encoders that are not named: tiny (as usual); clip: ViT-B-32, ViT-B-16, ViT-L-14; albef: base;"
            " florence: swin-tiny, swin-small, swin-base."
        ),
    ] = None,
    loss: Annotated[str | None, typer.Option(help="softmax (CLIP, as usual) or sigmoid (SigLIP).")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Column of classes: records of one class belong together as well; florence: with the label."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Records that are told from each other in a step, over all processes.")
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(
            help="A step's records go through the model in this many pieces, for less memory. The outcome is the same;"
            " albef tells the records of a piece from each other alone, and from the queue."
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", help="Folder of a pretrained run or of a converted checkpoint: begin with its weights."),
    ] = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Bring pictures, texts, sounds together in one space: what belongs to a record ends up close, all else apart.

    clip aligns any inputs; albef aligns a picture and a text and then fuses them, by matching and masked words as well;
    florence aligns a picture with a text and with the label of its class.
    Other columns are ignored. Records that lack an input take part with those they have. Scores how well each input
    finds the others on records it has not seen; without --test or --split on the validation records.

    Example: [bold]sensorium pretrain clip pairs.csv --image photo --text caption --out runs/pairs[/bold]
    """
    from sensorium.runs.run import pretrain as run_pretrain

    options["quiet"] |= as_json
    try:
        run = run_pretrain(
            family, table, out, image=image, text=text, audio=audio, inputs=inputs, align=align or None, size=size,
            loss=loss, labels=labels, batch_size=batch_size, pieces=pieces, start_from=start_from, **options,
        )  # fmt: skip
    except KeyboardInterrupt as error:
        message = str(error) or "Stopped."
        raise typer.Abort(f"{message} Go on with: sensorium pretrain {family} --resume --out {out}") from error
    if as_json and run.speaks:
        print(json.dumps({"out": str(run.folder)} | run.metrics))
