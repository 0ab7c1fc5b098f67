"""Options that several verbs share."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

EXAMPLES = {"--column": "photo=image", "--encoder": "photo=vit", "--set": "learning_rate=0.0005"}
UNNAMED = {"--explain": "heat.png"}  # what an option means that is given without a value

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output and nothing else.")]
BadRecords = Annotated[
    str, typer.Option(help="What to do with a file that cannot be read: 'stop', or 'skip' to set the record aside.")
]
SkipOrStop = Annotated[
    str | None, typer.Option(help="A file that cannot be read: 'stop' (as usual), or 'skip' to set the record aside.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option(help="Column to learn; again for several; NAME=class|labels|number|answer to state its kind."),
]
Group = Annotated[
    str | None, typer.Option(help="Column whose records share a source (speaker, patient) and stay on one side.")
]
Key = Annotated[str | None, typer.Option(help="Column that names a record.")]
Encoders = Annotated[
    list[str] | None,
    typer.Option(help="INPUT=NAME:MODEL,setting=value, as photo=timm:resnet50,pretrained=true; see docs/recipes.md."),
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training records.")]
Test = Annotated[float | None, typer.Option(help="Share of the records held out and scored once at the end.")]
Split = Annotated[
    str | None,
    typer.Option(
        help="COLUMN=VALUE: records with this value are held out; COLUMN alone if it is 'test' against one other."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Number that every random choice follows from.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Workers = Annotated[int | None, typer.Option(help="Processes that read records.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE for any other setting of docs/recipes.md, as learning_rate=0.0005."),
]
Recipe = Annotated[Path | None, typer.Option(help="YAML file with the settings; options lie over it.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what was stopped or killed in --out.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out.")]


class Verb(TyperCommand):
    """A verb, some of whose options may be given without a value: at the end or before another option."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Fills in the values of `UNNAMED`, since an option of Typer's either has a value or is a flag."""
        filled = [
            f"{arg}={UNNAMED[arg]}" if arg in UNNAMED and after.startswith("-") else arg
            for arg, after in pairwise([*args, "-"])
        ]
        return super().parse_args(ctx, filled)


def pairs(stated: list[str] | None, option: str) -> dict[str, str] | None:
    """NAME=VALUE options as a dictionary."""
    from sensorium.errors import UserError

    found = {}
    for one in stated or []:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise UserError(f"{option} {one} is not NAME=VALUE; write for example {option} {EXAMPLES[option]}.")
        found[name] = value
    return found or None


def names(stated: str | None) -> tuple[str, ...] | None:
    """The names in A,B,... without the blanks around them."""
    return None if stated is None else tuple(name.strip() for name in stated.split(","))


def held_out(split: str | None) -> dict[str, str | None]:
    """The options that --split COLUMN=VALUE, or COLUMN alone, stands for."""
    if split is None:
        return {}
    column, _, value = split.partition("=")
    return {"split": column, "held_out": value or None}


def settings(stated: list[str] | None) -> dict[str, Any]:
    """The options that --set NAME=VALUE stands for, each value as YAML reads it."""
    from sensorium.config.options import value_of

    return {name: value_of(value, f"--set {name}") for name, value in (pairs(stated, "--set") or {}).items()}
