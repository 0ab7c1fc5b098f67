"""The verbs, one for each thing a user does, and the parser of their options. No logic here."""

from typing import Annotated

import typer

from sensorium.cli.answer import answer
from sensorium.cli.classify import classify
from sensorium.cli.compare import compare
from sensorium.cli.convert import convert
from sensorium.cli.demo import demo
from sensorium.cli.evaluate import evaluate
from sensorium.cli.fit import fit
from sensorium.cli.options import Verb
from sensorium.cli.predict import predict
from sensorium.cli.pretrain import pretrain
from sensorium.cli.report import report
from sensorium.cli.search import index, search, unindex
from sensorium.cli.tables import inspect, pack, table
from sensorium.cli.write import write

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, judge and run models over text, images, audio and tables, any of them missing in any record.",
)
VERBS = (
    fit,
    compare,
    pretrain,
    evaluate,
    report,
    predict,
    write,
    answer,
    classify,
    index,
    search,
    unindex,
    table,
    inspect,
    pack,
    convert,
    demo,
)
for verb in VERBS:
    app.command(cls=Verb)(verb)


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
