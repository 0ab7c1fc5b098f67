"""A recipe read from YAML and checked; the settings of a part checked by the part. Every mistake is a sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sensorium.config.schema import Recipe
from sensorium.errors import UserError, unknown
from sensorium.families import FAMILIES

# Besides its own YAML raises those of numbers, dates and nesting that are beyond Python's bounds.
YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


def yaml_problem(error: Exception) -> str:
    """What one of YAML_ERRORS objects to, in a few words."""
    return getattr(error, "problem", None) or str(error).split(":")[0]


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The nested settings of a YAML file. Raises UserError when it cannot be read or is no mapping."""
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The recipe {path} cannot be read: {error.strerror or error}; check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The recipe {path} is not UTF-8 text; save it as UTF-8.") from error
    except YAML_ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"The recipe {path}{where} is not YAML: {yaml_problem(error)}; mend that.") from error
    if not isinstance(loaded, dict):
        raise UserError(f"The recipe {path} holds no settings, each a name, a colon and a value; see docs/recipes.md.")
    return loaded


def check_recipe(settings: dict[str, Any], where: str = "the recipe") -> Recipe:
    """The recipe of nested `settings`. Raises UserError with the first setting that is wrong, and why."""
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "union_tag_invalid":
            raise unknown("family", first["ctx"]["tag"], FAMILIES) from error
        if first["type"] == "extra_forbidden":
            setting = ".".join(str(name) for name in _without_tag(first["loc"]))
            raise UserError(f"In {where}: {unknown('setting', setting, _settings_at(first['loc'][:-1]))}") from error
        if first["type"] == "union_tag_not_found":
            first |= {"loc": ("family", "name"), "msg": "Field required"}
        else:
            first |= {"loc": _without_tag(first["loc"])}
        raise UserError(f"In {where}, {describe_validation_error(first)}.") from error


def _without_tag(path: tuple) -> tuple:
    """The path of a setting in a recipe, without the family's name by which Pydantic chose the family's settings."""
    return path[:1] + path[2:] if path[:1] == ("family",) and len(path) > 1 else path


def describe_validation_error(error: Mapping[str, Any]) -> str:
    """What one of Pydantic's errors says: the setting, the value it has, and what it should be."""
    setting = ".".join(str(name) for name in error["loc"] if name != "[key]")
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "it should", 1)
    return f"{setting} is {error.get('input')!r}: {message}" if setting else message


def _settings_at(path: tuple) -> list[str]:
    """The settings there are in the section at `path`, each with the path before it."""
    model: Any = Recipe
    for name in path:
        if model is Recipe and name == "family":
            model = FAMILIES[path[1]].Settings
        elif isinstance(model, type) and name in model.model_fields:
            annotation = model.model_fields[name].annotation
            sections = [kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")]
            model = sections[0] if sections else annotation
    return [".".join([*map(str, _without_tag(path)), name]) for name in model.model_fields]


def read_run_recipe(run: str | Path) -> Recipe | None:
    """The recipe of the run in the folder `run`; None when it has none."""
    path = Path(run) / "recipe.yaml"
    return check_recipe(read_recipe(path), f"the recipe {path}") if path.exists() else None


def parse_config(kind: type, settings: dict[str, Any], where: str) -> BaseModel:
    """The configuration of a part, of its `settings`; `where` says whose. Raises UserError for what does not fit."""
    try:
        return kind.Config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            setting = ".".join(str(name) for name in first["loc"])
            raise UserError(f"In {where}: {unknown('setting', setting, kind.Config.model_fields)}") from error
        raise UserError(f"In {where}, {describe_validation_error(first)}.") from error
