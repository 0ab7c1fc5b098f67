"""The command line: one verb for each thing a user does. No logic here."""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, judge and run models over text, images, audio and tables, any of them missing in any record.",
)

STOPPED = 130  # the exit code after Ctrl-C
EXAMPLES = {"--column": "photo=image", "--encoder": "photo=vit", "--set": "learning_rate=0.0005"}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output and nothing else.")]
BadRecords = Annotated[
    str, typer.Option(help="What to do with a file that cannot be read: 'stop', or 'skip' to set the record aside.")
]


@app.command()
def fit(
    table: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, media columns holding paths beside it; or a folder of class folders,"
            " of tar shards or saved by Datasets; or 'shards/*.tar'."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column to learn; again for several; NAME=class|labels|number to state its kind."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/fit"),
    group: Annotated[
        str | None, typer.Option(help="Column whose records share a source (speaker, patient) and stay on one side.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Column that names a record.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=KIND where the guess is not what is meant: text, image, audio, video, film, series, points,"
            " number, category, ignored."
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="INPUT=NAME:MODEL,setting=value, as photo=timm:resnet50,pretrained=true; see docs/recipes.md."
        ),
    ] = None,
    fusion: Annotated[str | None, typer.Option(help="hybrid, late, concat, transformer or cross_attention.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training records.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for trying a few settings, as 90s, 30m or 2h; the best on validation is taken."),
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="Share of the records held out and scored once at the end.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="COLUMN=VALUE: records with this value are held out; COLUMN alone if it is 'test' against one other."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Number that every random choice follows from.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read records.")] = None,
    bad_records: Annotated[
        str | None,
        typer.Option(help="A file that cannot be read: 'stop' (as usual), or 'skip' to set the record aside."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for any other setting of docs/recipes.md, as learning_rate=0.0005."),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file with the settings; options lie over it.")] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of a trained run: go on from it with the records of TABLE, which may have new classes.",
        ),
    ] = None,
    old_table: Annotated[
        Path | None,
        typer.Option(help="With --from, the file that run learned from, where its recipe does not lead to it."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the stopped or killed run in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a table and score it on records it has not seen.

    Each column's kind is guessed from its values and printed with the reason.
    Without --test or --split the score is that of the validation records.

    Example: [bold]sensorium fit reviews.csv --target sentiment --group author --test 0.2 --out runs/reviews[/bold]
    """
    from sensorium.recipe.options import value_of
    from sensorium.recipe.run import fit as run

    options: dict[str, Any] = {
        "target": target, "group": group, "key": key, "columns": _pairs(column, "--column"), "test": test, "seed": seed,
        "encoders": _pairs(encoder, "--encoder"), "fusion": fusion, "epochs": epochs, "device": device,
        "workers": workers, "bad_records": bad_records, "budget": budget,
        "start_from": start_from and str(start_from), "old_table": old_table and str(old_table),
    }  # fmt: skip
    if split is not None:
        options["split"], _, value = split.partition("=")
        options["held_out"] = value or None
    options |= {name: value_of(value, f"--set {name}") for name, value in (_pairs(setting, "--set") or {}).items()}
    try:
        done = run(table, out, recipe=recipe, resume=resume, overwrite=overwrite, quiet=as_json, **options)
    except KeyboardInterrupt as error:
        said = str(error) or "Stopped."
        raise typer.Abort(f"{said} A fit goes on where it stood with the same command and --resume.") from error
    if as_json and done.speaks:
        print(json.dumps({"out": str(done.folder)} | done.metrics))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's or a checkpoint's folder.")],
    table: Annotated[Path, typer.Argument(help="Records with the target columns.")],
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.json and scores.parquet.")] = None,
    bad_records: BadRecords = "stop",
    as_json: Json = False,
) -> None:
    """Score a trained model on a table: every metric with its interval and chance level, and what each input is worth.

    Example: [bold]sensorium evaluate runs/reviews test.csv --out runs/reviews/on-test[/bold]
    """
    from sensorium.evaluation import evaluate as score
    from sensorium.model import load
    from sensorium.recipe.talk import Talk

    model = load(run)
    talk = Talk(quiet=as_json)
    with talk.busy("Scoring"):
        report = score(model, model.read(table), out=out, bad_records=bad_records)
    if as_json:
        print(json.dumps(report.to_dict()))
    talk.show(report)


@app.command()
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
    from sensorium.errors import counted
    from sensorium.recipe.predicting import predict_file

    written = predict_file(run, table, out, bad_records)
    if as_json:
        print(json.dumps(written))
    else:
        skipped = (
            f"; {counted(written['set_aside'], 'record')} set aside, {written['bad_records']} says why"
            if written["set_aside"]
            else ""
        )
        print(f"{counted(written['records'], 'prediction')} in {written['out']}{skipped}.")


@app.command()
def inspect(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet file; media columns hold paths beside it.")],
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column to learn; again for several; NAME=class|labels|number to state its kind."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column whose records share a source (speaker, patient) and stay on one side.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Column that names a record.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=KIND where the guess is not what is meant, as for fit.")
    ] = None,
    test: Annotated[float | None, typer.Option(help="Share of the records that fit would hold out.")] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="COLUMN=VALUE: records with this value are held out; COLUMN alone if it is 'test' against one other."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read files.")] = None,
    as_json: Json = False,
) -> None:
    """Look at a table before training: kinds, absences, classes, sizes, faults, and what fit would do.

    Names every broken file, copies and near copies (across the split above all), columns that give the target away,
    placeholders, slips of spelling and more, each with what to do. What is found does not make the command fail.

    Example: [bold]sensorium inspect reviews.csv --target sentiment --group author --test 0.2[/bold]
    """
    from sensorium.recipe.inspect import inspect as look
    from sensorium.recipe.inspected import show
    from sensorium.recipe.talk import Talk

    options: dict[str, Any] = {
        "target": target, "group": group, "key": key, "columns": _pairs(column, "--column"), "test": test,
    }  # fmt: skip
    if split is not None:
        options["split"], _, value = split.partition("=")
        options["held_out"] = value or None
    talk = Talk(quiet=as_json)
    with talk.busy("Looking at every record once"):
        seen = look(table, workers=workers, **options)
    if as_json:
        print(json.dumps(seen.to_dict()))
    show(seen, talk.out)


@app.command()
def pack(
    table: Annotated[Path, typer.Argument(help="A table, or any other source of records that fit takes.")],
    out: Annotated[Path, typer.Argument(help="Folder for the shards: 000000.tar, 000001.tar, ...")],
    records: Annotated[int, typer.Option(help="Records in a shard.")] = 1000,
    seed: Annotated[int, typer.Option(help="Number that the order of the records follows from.")] = 0,
    shuffle: Annotated[bool, typer.Option(help="Put the records in a random order, or keep that of the table.")] = True,
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=KIND where the guess is not what is meant: image, audio, text, ...")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards in the folder.")] = False,
    as_json: Json = False,
) -> None:
    """Write a table as tar shards of WebDataset's form: few large files, which copy and read faster than many small.

    Pictures and sounds go in byte for byte; all other cells of a record are its .json. Needs the extra: pip install
    'sensorium\\[shards]'.

    Example: [bold]sensorium pack reviews.csv shards --records 1000[/bold]
    """
    from sensorium.data.pack import pack as run

    done = run(table, out, _pairs(column, "--column"), records, seed if shuffle else None, overwrite)
    print(json.dumps(done) if as_json else f"{done['records']} records in {done['shards']} shards in {done['out']}.")


@app.command()
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="A published CLIP or SigLIP: a folder of Transformers or open_clip, a file of weights, a model on the"
            " hub. Or, with --to, a run's or a checkpoint's folder."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    to: Annotated[
        str | None, typer.Option(help="transformers or open_clip; without it, a checkpoint of Sensorium's is written.")
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help="gelu, gelu_tanh or quick_gelu, for a bare file of weights that does not say its own."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in OUT.")] = False,
) -> None:
    """Turn a published CLIP or SigLIP into a checkpoint, or a checkpoint into what others open.

    The tokenizer and the preparation of pictures come with it. A weight that is missing, unknown or does not fit is an
    error.

    Example: [bold]sensorium convert openai/clip-vit-base-patch32 runs/openai[/bold]
    """
    from sensorium.families.clip_checkpoints import convert as run

    run(source, out, to, activation, overwrite)
    print(f"{source} is written to {out}, {f'for {to}' if to else 'as a checkpoint'}.")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    data: Annotated[Path, typer.Option(help="Folder the records are made in.")] = Path("runs/demo-data"),
) -> None:
    """Make a table of emoji (picture, name, spoken name) from installed packages; learn category and sentiment from it.

    Needs the extra: pip install 'sensorium\\[demo]'. Example: [bold]sensorium demo[/bold]
    """
    from sensorium.recipe.demo import demo as run

    run(out, data)


def _pairs(stated: list[str] | None, option: str) -> dict[str, str] | None:
    """NAME=VALUE options as a dictionary."""
    from sensorium.errors import UserError

    pairs = {}
    for one in stated or []:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise UserError(f"{option} {one} is not NAME=VALUE; write for example {option} {EXAMPLES[option]}.")
        pairs[name] = value
    return pairs or None


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    shown: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    from sensorium import __version__

    if shown:
        print(f"sensorium {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)


def main() -> None:
    """Runs a verb.

    Exit codes: 0, 2 for a mistake of the user's (one sentence), 130 after Ctrl-C, 1 with a traceback for a bug.
    """
    from sensorium.errors import UserError

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            code = app(prog_name="sensorium", standalone_mode=False)
    except UserError as error:
        code = _fail(str(error), 2)
    except typer.Abort as error:
        code = _fail(str(error) or "Stopped.", STOPPED)
    except Exception as error:
        code = _usage(error)
    else:
        code = _fail("Stopped.", STOPPED) if code == STOPPED else code  # Typer takes Ctrl-C in silence
    sys.stdout.flush()
    sys.exit(code or 0)


def _usage(error: Exception) -> int:
    """What the command line's own parser objects to; anything else is a bug and goes up."""
    if hasattr(error, "format_message"):  # the parser's exceptions, which Typer has moved from one package to another
        said = error.format_message()
        verb = error.ctx.command_path if getattr(error, "ctx", None) else "sensorium"
        return _fail(f"{said}{'' if said[-1] in '.?' else '.'} See '{verb} --help'.", 2)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    raise error


def _warn(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """A warning as a sentence on standard error, without the place in the code that it comes from."""
    print(f"sensorium: {message}" if category is UserWarning else f"{category.__name__}: {message}", file=sys.stderr)


def _fail(sentence: str, code: int) -> int:
    print(f"sensorium: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
