"""The command line: one verb for each thing a user does. No logic here."""

import os
import sys
import warnings
from typing import Annotated, Any

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

STOPPED = 130  # the exit code after Ctrl-C


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
        sentence = error.format_message()
        verb = error.ctx.command_path if getattr(error, "ctx", None) else "sensorium"
        return _fail(f"{sentence}{'' if sentence[-1] in '.?' else '.'} See '{verb} --help'.", 2)
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
