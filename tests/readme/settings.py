"""The tables of docs/recipes.md, made from the settings' own models: `python tests/readme/settings.py` writes them
anew.
"""

import types
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sensorium.build.objectives import recipe_objectives
from sensorium.config.schema import (
    DataSettings,
    FusionSettings,
    InputSettings,
    ObjectiveSettings,
    Recipe,
    TargetSettings,
)
from sensorium.encoders import ENCODERS
from sensorium.families import FAMILIES
from sensorium.families.family import ProjectionSettings
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.training.settings import TrainingSettings

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
SECTIONS = {
    "data": DataSettings,
    "inputs.NAME": InputSettings,
    "targets.NAME": TargetSettings,
    "fusion": FusionSettings,
    "objectives[]": ObjectiveSettings,
    **{f"family ({name})": family.Settings for name, family in FAMILIES.items()},
    "family.projections.NAME": ProjectionSettings,
    "training": TrainingSettings,
}
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "name: value", list: "list"}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
ROOMS = {
    "encoders": ("inputs.NAME.config", ENCODERS),
    "fusions": ("fusion.config", FUSIONS),
    "heads": ("targets.NAME.config", {name: HEADS[name] for name in ("classes", "labels", "number")}),
    "objectives": ("objectives[].config", recipe_objectives()),
}


def tables() -> dict[str, str]:
    """By the name of its place on the page, each generated part."""
    return {"settings": "\n\n".join(_sections())} | {
        name: "\n\n".join(_part(known, place, kind) for known, kind in parts.items())
        for name, (place, parts) in ROOMS.items()
    }


def filled(page: str) -> str:
    """The page with every generated part, between `<!-- NAME -->` and `<!-- /NAME -->`, made anew."""
    for name, text in tables().items():
        before, rest = page.split(f"<!-- {name} -->")
        _, after = rest.split(f"<!-- /{name} -->")
        page = f"{before}<!-- {name} -->\n\n{text}\n\n<!-- /{name} -->{after}"
    return page


def _sections() -> Iterator[str]:
    for name, model in SECTIONS.items():
        yield f"### `{name}`\n\n{cleandoc(model.__doc__)}\n\n{_described(model.model_fields)}"
    top = {name: field for name, field in Recipe.model_fields.items() if _is_plain(field)}
    yield f"### At the top\n\n{_described(top)}"


def _is_plain(field: FieldInfo) -> bool:
    kinds = [field.annotation, *get_args(field.annotation)]
    return not any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _described(fields: dict[str, FieldInfo]) -> str:
    rows = ["| setting | value | when not said | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields.items():
        rows.append(f"| `{name}` | {_value(field)} | {_default(field)} | {field.description} |")
    return "\n".join(rows)


def _part(name: str, place: str, kind: type) -> str:
    """An encoder's, a fusion's or a head's settings: a table, and what its configuration says of itself."""
    rows = ["| setting | value | when not said |", "| --- | --- | --- |"]
    for setting, field in kind.Config.model_fields.items():
        rows.append(f"| `{setting}` | {_value(field)} | {_default(field)} |")
    first = cleandoc(kind.__doc__).split("\n\n")[0].replace("\n", " ")
    said = cleandoc(kind.Config.__doc__)
    return "\n".join(
        [f"### `{name}`", "", f"{first} Its settings, in `{place}`:", "", *rows, "", "```text", said, "```"]
    )


def _value(field: FieldInfo) -> str:
    bounds = [f"{SIGNS[sign]} {getattr(one, sign)}" for one in field.metadata for sign in SIGNS if hasattr(one, sign)]
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {len(inner)} numbers"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings: " + ", ".join(f"`{name}`" for name in annotation.model_fields)
    return WORDS[origin or annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be said"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ", ".join(f"`{name}: {_plain(one)}`" for name, one in value.model_dump().items())
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    spelled = {None: "null", True: "true", False: "false"}
    return (
        spelled[value]
        if value is None or isinstance(value, bool)
        else str(list(value) if isinstance(value, tuple) else value)
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
