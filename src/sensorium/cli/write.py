"""The verb that writes texts: write."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import BadRecords, Json


def write(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    records: Annotated[
        list[Path], typer.Argument(help="A table, a folder of pictures, sounds or films, or several such files.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the texts: .parquet, .csv, .jsonl, or .txt with a text a line; of a recording also .srt,"
            " .vtt or .json, of several a folder; of places in pictures also .json."
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print each text as it is written; of recordings, each segment.")
    ] = False,
    beams: Annotated[int | None, typer.Option(help="Beginnings kept at each token; 1 is greedy (1).")] = None,
    best: Annotated[int | None, typer.Option(help="Texts for a record, with their probabilities (1).")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of sampling; 0 takes the likeliest token (0).")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Samples among the likeliest tokens of this probability in all (1).")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Samples among so many of the likeliest tokens.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of a text (as many as the model can).")] = None,
    min_tokens: Annotated[int | None, typer.Option(help="Fewest tokens of a text (0).")] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Beams are ranked by their score / length ** this (1).")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1, tokens that were written become less likely (1).")
    ] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="No so many tokens come twice in a row.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A text ends before this one; again for several.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="The text is one of these; again for each.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Number that samples follow from, with each record's key (0).")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of recordings, a code or a name: en, German; without it, it is detected.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="Of recordings: transcribe, or translate into English (transcribe). Of a Florence-2: caption, detect,"
            " ground, read, ...; again for several."
        ),
    ] = None,
    phrase: Annotated[str | None, typer.Option(help='What a task is about, as "a red car".')] = None,
    region: Annotated[str | None, typer.Option(help="Where in the picture: x0,y0,x1,y1 in pixels.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Say when each segment is spoken.")] = False,
    words: Annotated[bool, typer.Option("--words", help="Say when each word is spoken.")] = False,
    channels: Annotated[
        str, typer.Option(help="Of recordings: mix, or split to write each channel, a speaker, apart.")
    ] = "mix",
    draw: Annotated[
        Path | None, typer.Option(help="Draw the places that are found: a picture, or a folder for those of several.")
    ] = None,
    least: Annotated[
        float, typer.Option(help="Leave out places whose score and label score have a smaller geometric mean.")
    ] = 0.0,
    bad_records: BadRecords = "skip",
    as_json: Json = False,
) -> None:
    """Write a trained model's texts for every record: captions, translations, what is said, places in pictures.

    Example: [bold]sensorium write runs/captions pictures/ --out captions.parquet[/bold]
    Example: [bold]sensorium write runs/florence a.jpg --task detect --task caption --out boxes.json[/bold]
    Example: [bold]sensorium write runs/whisper talk.mp3 --timestamps --out talk.srt[/bold]
    Example: [bold]sensorium write runs/things street.jpg --out boxes.json --draw drawn.png --least 0.3[/bold]
    """
    from sensorium.inference.write import print_pieces, print_texts
    from sensorium.inference.write import write as run_write

    summary = run_write(
        run, records, out, stream=print_pieces() if stream and not as_json else None, bad_records=bad_records,
        quiet=as_json, beams=beams, best=best, temperature=temperature, top_p=top_p, top_k=top_k, max_tokens=max_tokens,
        min_tokens=min_tokens, length_penalty=length_penalty, repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat_ngram, stop=stop, choices=choice, seed=seed,
        language=language, task=task, phrase=phrase, region=region, timestamps=timestamps, words=words,
        channels=channels, draw=draw, least=least,
    )  # fmt: skip
    if as_json:
        rows = summary if out else summary.astype(object).where(summary.notna(), None).to_dict("records")
        print(json.dumps(rows, ensure_ascii=False))
    elif stream:
        print()
    elif out is None:
        print_texts(summary)
