"""Options that several verbs share."""

from typing import Annotated

import typer

EXAMPLES = {"--column": "photo=image", "--encoder": "photo=vit", "--set": "learning_rate=0.0005"}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output and nothing else.")]
BadRecords = Annotated[
    str, typer.Option(help="What to do with a file that cannot be read: 'stop', or 'skip' to set the record aside.")
]


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
