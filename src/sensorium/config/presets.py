"""`fit --family NAME`: a family's composition as plain settings, so that the recipe a run saves names no family."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium.config.load import read_recipe
from sensorium.errors import UserError, unknown
from sensorium.families import FAMILIES
from sensorium.families.family import FittedFamily

Settings = dict[str, Any] | str | Path | None


def expand_family(recipe: Settings, options: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """The recipe and the options of a fit, a family among the options made settings that lie under the recipe's own.

    Options: family (albef), image, question, answer (columns; the answer may state its kind, `answer=class`), size
    (tiny, as usual, or base), start_from (a pre-trained run or a checkpoint, whose encoders and fusion it begins with).
    Raises UserError for another family or size, and for a column that is not named.
    """
    families = fitted_families()
    name = options.get("family")
    if name is None:
        _check_no_family_option(families, options)
        family_options = {option for family in families.values() for option in family.fit_options}
        return recipe, _without(options, family_options)
    if name not in families:
        raise unknown("family that can be fitted", name, families)
    family = families[name]
    columns = {option: options.get(option) for option in family.fit_columns}
    missing = next((option for option, column in columns.items() if column is None), None)
    if missing is not None:
        raise UserError(f"--family {name} needs --{missing}: the column of the table that it is.")
    recipe_settings = read_recipe(recipe) if isinstance(recipe, str | Path) else recipe or {}
    group = options.get("group") or (recipe_settings.get("data") or {}).get("group")
    family_settings = {option: options.get(option) for option in family.fit_options}
    settings = family.fit_settings(**family_settings, group=group, begin_with=options.get("start_from"))
    # The settings of a target are those of the family's head, and do not fit another one.
    for target, target_settings in list(settings.get("targets", {}).items()):
        if _stated_head(target, recipe_settings, options.get("head")) not in (None, target_settings["head"]):
            del settings["targets"][target]
    return _lay_over(settings, recipe_settings), _without(options, {*family.fit_options, "start_from"})


def fitted_families() -> dict[str, FittedFamily]:
    """By name, the families that a fit can take its settings from."""
    return {name: family for name, family in FAMILIES.items() if hasattr(family, "fit_settings")}


def _check_no_family_option(families: Mapping[str, FittedFamily], options: Mapping[str, Any]) -> None:
    """Checks that no option is stated that needs a family. Raises UserError."""
    for name, family in families.items():
        option = next((option for option in family.fit_options if options.get(option) is not None), None)
        if option is not None:
            raise UserError(f"--{option} belongs to a family; add --family {name}, or leave it out.")


def _without(options: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The options but for `family` and those of `names`."""
    return {name: value for name, value in options.items() if name != "family" and name not in names}


def _stated_head(target: str, recipe: Mapping[str, Any], option: Any) -> str | None:
    """The head of a target that an option (of every target, or target → name) or else the recipe states."""
    head = option.get(target) if isinstance(option, Mapping) else option
    return head or ((recipe.get("targets") or {}).get(target) or {}).get("head")


def _lay_over(settings: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with those of `upper` laid over them, one by one."""
    result = dict(settings)
    for name, value in upper.items():
        is_section = isinstance(value, Mapping) and isinstance(settings.get(name), Mapping)
        result[name] = _lay_over(settings[name], value) if is_section else value
    return result
