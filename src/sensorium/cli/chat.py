"""The verb that holds a conversation: chat."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import named_values


def chat(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    image: Annotated[Path | None, typer.Option(help="The picture that the conversation is about.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=VALUE, another input of the model; again for several.")
    ] = None,
    dialogue: Annotated[str | None, typer.Option(help="The input that reads what was said.")] = None,
    context: Annotated[int, typer.Option(help="Words and marks of a dialogue that are read, whole turns.")] = 128,
    temperature: Annotated[float | None, typer.Option(help="Of sampling; 0 takes the likeliest token (0).")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Samples among the likeliest tokens of this probability in all (1).")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1, tokens that were written become less likely (1).")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of an answer (as many as the model can).")] = None,
    seed: Annotated[int | None, typer.Option(help="Number that samples follow from (0).")] = None,
) -> None:
    """Talk with a model that was fitted on dialogues: a line is a question; an empty input (Ctrl-D) ends it.

    Example: [bold]sensorium chat runs/assistant --image a.jpg[/bold]
    """
    from sensorium.errors import UserError
    from sensorium.inference.chat import chat as start
    from sensorium.inference.chat import converse, only_picture

    values = dict(named_values(inputs, "--input") or {})
    conversation = start(
        run, dialogue, context, temperature=temperature, top_p=top_p, repetition_penalty=repetition_penalty,
        max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    if image is not None:
        if not image.is_file():
            raise UserError(f"There is no file {image}; check its name.")
        values[only_picture(conversation.model)] = str(image)

    def ask() -> str | None:
        if sys.stdin.isatty():
            sys.stdout.write("> ")
            sys.stdout.flush()
        return sys.stdin.readline() or None

    def answer(piece: str) -> None:
        sys.stdout.write(piece)
        sys.stdout.flush()

    converse(conversation, ask, answer, **values)
