"""The verb between published checkpoints and ours: convert."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="A published CLIP or SigLIP: a folder of Transformers or open_clip, a file of weights, a model on the"
            " hub; or a Whisper, a folder of Transformers or CTranslate2; or a Florence-2, a folder of Transformers or"
            " Microsoft's; or an ALBEF's file of weights; or a BERT"
            " of Transformers, which an ALBEF begins with. Or, with --to,"
            " a run's or a checkpoint's folder."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="transformers, open_clip, albef or florence; without it, a checkpoint of Sensorium's is written."
        ),
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
    """Turn a published CLIP, SigLIP, ALBEF, Whisper or Florence-2 into a checkpoint, or one into what others open.

    The tokenizer and the preparation of pictures come with it. Without a tokenizer an ALBEF takes token numbers alone.
    A weight that is missing, unknown or does not fit is an error.

    Example: [bold]sensorium convert openai/clip-vit-base-patch32 runs/openai[/bold]
    """
    from sensorium.families.checkpoints import convert as run_convert

    model = run_convert(source, out, to, activation, overwrite, picture, tokenizer)
    print(f"{source} is written to {out}, {f'for {to}' if to else 'as a checkpoint'}.")
    if to is None and any(encoder.processor is None for encoder in model.encoders.modules_once):
        print(f"No tokenizer stands beside {source}, so the model takes token numbers alone; name one by --tokenizer.")
