"""The arguments of a verb in Python, of which most are settings of a recipe."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

# Arguments of verbs that are no settings.
ARGUMENTS = ("records", "out", "recipe", "resume", "overwrite", "quiet", "settings")


def collect_options(arguments: Mapping[str, Any], own: Collection[str] = ()) -> dict[str, Any]:
    """Of a verb's `arguments`, its locals(), those that are settings, by name, with all that stand under `settings`.

    own: the names of other arguments that are none.
    """
    options = {name: value for name, value in arguments.items() if name not in (*ARGUMENTS, *own)}
    options |= arguments["settings"]
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
