"""The verb that asks about a picture: answer."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import Json


def answer(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    picture: Annotated[Path, typer.Argument(help="The picture's file.")],
    question: Annotated[str, typer.Argument(help='The question, in quotes: "What colour is the circle?"')],
    by: Annotated[
        str | None,
        typer.Option(
            help="ranking: the likeliest of the answers it has learned; generation: word by word. Without it, the first"
            " of the two that the model has."
        ),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="File with an answer a line: these are ranked, not those that it has learned.")
    ] = None,
    beams: Annotated[int, typer.Option(help="For generation: how many beginnings are kept at each word.")] = 3,
    top: Annotated[int, typer.Option(help="How many answers to give.")] = 5,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="[FILE]",
            help="File (.png, .jpg, .webp) for heat maps: where in the picture each word of the question looks. Without"
            " a name, at the end or before another option, heat.png in this folder, in the place of an older one.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Answer a question about a picture, with the probability and the answers that come next.

    The model has one picture and one text among its inputs, and a target that is an answer or a class.

    Example: [bold]sensorium answer runs/vqa photo.jpg "Is there a circle?" --explain[/bold]
    """
    from sensorium.explanation.answer import answer as answer_question

    result = answer_question(
        run, picture, question, by=by, answers=answers, beams=beams, top=top, explain=explain, quiet=as_json
    )
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
