"""Options that several verbs share, in groups, and what they stand for in Python."""

import inspect
from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from sensorium.errors import PEERS_WORDS

EXAMPLES = {"--column": "photo=image", "--encoder": "photo=vit", "--set": "learning_rate=0.0005"}
UNNAMED = {"--explain": "heat.png"}  # what an option means that is given without a value

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output and nothing else.")]
BadRecords = Annotated[
    str,
    typer.Option(help="What cannot be read: 'stop', 'skip' to set the record aside, or 'absent' to take it as absent."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(help="Column to learn; again for several; NAME=class|labels|number|answer|text to state its kind."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out.")]

# Options by name, each with its type and its help; all are left out unless they are given.
COLUMNS: dict[str, Any] = {
    "group": Annotated[
        str | None, typer.Option(help="Column whose records share a source (speaker, patient) and stay on one side.")
    ],
    "key": Annotated[str | None, typer.Option(help="Column that names a record.")],
    "column": Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=KIND where the guess is not what is meant: text, image, audio, video, film, series, points,"
            " number, date, category, ignored."
        ),
    ],
}
SPLIT: dict[str, Any] = {
    "test": Annotated[float | None, typer.Option(help="Share of the records held out and scored once at the end.")],
    "split": Annotated[
        str | None,
        typer.Option(
            help="COLUMN=VALUE: records with this value are held out; COLUMN alone if it is 'test' against one other."
        ),
    ],
}
TRAINING: dict[str, Any] = {
    "encoder": Annotated[
        list[str] | None,
        typer.Option(
            help="INPUT=NAME:MODEL,setting=value, as photo=timm:resnet50,pretrained=true; see docs/recipes.md."
        ),
    ],
    "seed": Annotated[int | None, typer.Option(help="Number that every random choice follows from (0).")],
    "bad_records": Annotated[
        str | None,
        typer.Option(
            help="A file that cannot be read: 'stop' (as usual), 'skip' to set the record aside, 'absent' to go on"
            " without it."
        ),
    ],
    "strict": Annotated[
        bool | None,
        typer.Option("--strict", help="Stop where it is not clear what a column is, or a cell cannot be read."),
    ],
    "setting": Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for any other setting of docs/recipes.md, as learning_rate=0.0005."),
    ],
    "recipe": Annotated[Path | None, typer.Option(help="YAML file with the settings; options lie over it.")],
}
EPOCHS: dict[str, Any] = {
    "epochs": Annotated[int | None, typer.Option(help="Passes over the training records (by their number).")],
    "log": Annotated[
        str | None,
        typer.Option(help="tensorboard: also write what log.csv has for TensorBoard, into the run's folder."),
    ],
    "device": Annotated[str | None, typer.Option(help="auto (the default), cpu, cuda or cuda:N.")],
    "workers": Annotated[int | None, typer.Option(help="Processes that read records (2 where files are decoded).")],
}
FOLDER: dict[str, Any] = {
    "resume": Annotated[bool, typer.Option("--resume", help="Go on with what was stopped or killed in --out.")],
    "overwrite": Overwrite,
}
SCREEN: dict[str, Any] = {
    "details": Annotated[bool, typer.Option("--details", help="Print all tables.")],
    "quiet": Annotated[bool, typer.Option("--quiet", help="Print nothing.")],
}
FLAGS = FOLDER | SCREEN
# Options by the panel of the help that they stand in; all others stand under "Options".
PANELS = {
    "Data": ("target", "group", "key", "column", "test", "split", "bad_records", "strict", "image", "text", "audio",
             "question", "answer", "inputs", "labels"),
    "Model": ("encoder", "fusion", "family", "size", "align", "teacher", "start_from", "old_table", "loss"),
    "Training": ("epochs", "preset", "budget", "seed", "device", "workers", "setting", "recipe", "batch_size",
                 "pieces"),
    "Run": ("out", "resume", "overwrite", "details", "quiet", "as_json"),
}  # fmt: skip
PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


def takes(*groups: dict[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a verb the options of `groups`, which it gets in its `**options` as Python has them."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(verb)
        parameters = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        shared = {name: annotation for group in groups for name, annotation in group.items()}
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=False if name in FLAGS else None
            )
            for name, annotation in shared.items()
        ]

        @wraps(verb)
        def with_shared_options(**arguments: Any) -> None:
            own = {name: value for name, value in arguments.items() if name not in shared}
            verb(**own | python_options({name: arguments[name] for name in shared}))  # --set comes over all

        for parameter in parameters:
            _place(parameter)
        with_shared_options.__signature__ = signature.replace(parameters=parameters)
        with_shared_options.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_shared_options

    return decorate


def _place(parameter: inspect.Parameter) -> None:
    """Puts an option into its panel of the help."""
    for described in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(described, OptionInfo):
            described.rich_help_panel = PANEL_OF.get(parameter.name)


def python_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of the command line as the functions of `sensorium` take them."""
    converted = dict(options)
    if "column" in options:
        converted["columns"] = named_values(converted.pop("column"), "--column")
    if "encoder" in options:
        converted["encoders"] = named_values(converted.pop("encoder"), "--encoder")
    if options.get("split") is not None:
        column, _, value = options["split"].partition("=")
        converted |= {"split": column, "held_out": value or None}
    if "setting" in options:
        from sensorium.config.options import value_of

        settings = named_values(converted.pop("setting"), "--set") or {}
        converted |= {name: value_of(value, f"--set {name}") for name, value in settings.items()}
    return converted


class Verb(TyperCommand):
    """A verb, some of whose options may be given without a value: at the end or before another option."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Fills in the values of `UNNAMED`, since an option of Typer's either has a value or is a flag."""
        filled = [
            f"{arg}={UNNAMED[arg]}" if arg in UNNAMED and after.startswith("-") else arg
            for arg, after in pairwise([*args, "-"])
        ]
        own = {option for parameter in self.params for option in parameter.opts}
        for name in (arg.partition("=")[0] for arg in filled if arg.startswith("--")):
            word = PEERS_WORDS.get(name.removeprefix("--").replace("-", "_"))
            if word and name not in own:
                raise typer.BadParameter(f"There is no option {name}; did you mean --{word.replace('_', '-')}?")
        return super().parse_args(ctx, filled)


def named_values(options: list[str] | None, option: str) -> dict[str, str] | None:
    """NAME=VALUE options as a dictionary; None without any."""
    from sensorium.errors import UserError

    values = {}
    for text in options or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"{option} {text} is not NAME=VALUE; write for example {option} {EXAMPLES[option]}.")
        values[name] = value
    return values or None


def split_names(names: str | None) -> tuple[str, ...] | None:
    """The names in A,B,... without the blanks around them."""
    return None if names is None else tuple(name.strip() for name in names.split(","))
