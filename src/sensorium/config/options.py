"""Short options, as on the command line and in `sensorium.fit(...)`, made into a recipe's nested settings."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from sensorium.config.load import YAML_ERRORS, yaml_problem
from sensorium.config.schema import InputSettings, Recipe, TargetSettings
from sensorium.data.columns.names import as_names
from sensorium.errors import PEERS_WORDS, UserError, unknown
from sensorium.objectives import OBJECTIVES

USUAL_ALIGNING = "contrastive"  # brings the inputs of a fit together where no objective is named
COLUMN_KINDS = ("image", "text", "audio")  # kinds of column that an option of pretraining names
TOP = ""  # the section of the settings at the top of a recipe
FAMILY = "family"
OPTION_SECTIONS = (TOP, "data", "training", FAMILY)  # those with an option for each of their settings
# Settings without an option of their name that is simply laid over them.
NOT_SET_BY_NAME = {TOP: {"objectives", "teacher"}, "data": {"path", "target"}, FAMILY: {"name", "pairs"}}
# Options that name columns, which pandas lets be numbers: in a table of ours every name is a text.
COLUMN_OPTIONS = (
    "target", "group", "key", "columns", "encoders", "inputs", "align", "split", "labels", "question", "answer",
    *COLUMN_KINDS,
)  # fmt: skip
# Arguments of verbs that are no settings.
ARGUMENTS = ("records", "out", "recipe", "resume", "overwrite", "quiet", "details", "callbacks", "settings")


def collect_options(arguments: Mapping[str, Any], not_settings: Collection[str] = ()) -> dict[str, Any]:
    """The settings among a verb's `arguments`, its locals(), by name, with all that its `settings` has; names of
    columns as text.

    not_settings: the names of arguments that are none, beside ARGUMENTS.
    """
    options = {name: value for name, value in arguments.items() if name not in (*ARGUMENTS, *not_settings)}
    options |= arguments["settings"]
    options |= {name: as_names(options[name]) for name in COLUMN_OPTIONS if name in options}
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def _settings_classes(annotation: Any) -> list[type[BaseModel]]:
    """The classes of settings in an annotation: itself, of a union, or of the values of a dictionary or list."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [kind for argument in get_args(annotation) for kind in _settings_classes(argument)]


def section_by_option(recipe: type[BaseModel]) -> dict[str, str]:
    """By option, the section of a recipe whose setting of that name it sets; `TOP` for the settings at the top.

    Raises ValueError when two sections have a setting of one name, so that an option could not say which it means.
    """
    classes = {name: _settings_classes(field.annotation) for name, field in recipe.model_fields.items()}
    names = {TOP: [name for name, kinds in classes.items() if not kinds]}
    names |= {section: [name for kind in kinds for name in kind.model_fields] for section, kinds in classes.items()}
    sections: dict[str, str] = {}
    for section in OPTION_SECTIONS:
        for name in dict.fromkeys(names[section]):
            if name in NOT_SET_BY_NAME.get(section, ()):
                continue
            if name in sections or name in (FIT_OPTIONS | PRETRAINING_OPTIONS):
                meanings = [sections.get(name, "the short options"), section]
                raise ValueError(
                    f"The option '{name}' would have two meanings, in {' and '.join(map(repr, meanings))}."
                )
            sections[name] = section
    return sections


def apply_options(settings: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` (a recipe's nested mapping) with `options` laid over it; None leaves a setting as it is.

    Options: any setting of data, of training and at the top by its own name, and target (a name, a list of names, or
    name → kind), encoders (input → `NAME:MODEL,setting=value`), fusion, combine, target_weights (target → weight),
    class_weights, head (`NAME:MODEL,setting=value` of every target, or target → that), align (a list of pairs of inputs
    that are brought together, each `a,b` or `a,b=triplet`), teacher (the folder of a run to learn from). Settings with
    a family take its own settings in the place of what is about targets and their fusion, and image, text, audio (the
    column of that kind) and align.
    Raises UserError for an unknown option, naming the nearest.
    """
    recipe = {name: _copy(name, value) for name, value in settings.items()}
    if "target" in recipe.get("data", {}):
        _set_target(recipe, recipe["data"]["target"])
    pretrains = bool(recipe.get(FAMILY))
    short_options = PRETRAINING_OPTIONS if pretrains else FIT_OPTIONS
    sections = {name: section for name, section in SECTION_BY_OPTION.items() if pretrains or section != FAMILY}
    for name, value in options.items():
        if value is None:
            continue
        if name in short_options:
            short_options[name](recipe, value)
        elif name in sections:
            section = recipe if sections[name] == TOP else recipe.setdefault(sections[name], {})
            section[name] = value
        elif name in FIT_OPTIONS:
            raise UserError(f"Pretraining aligns inputs and has no {name}; leave it out, or take fit.")
        else:
            hint = PEERS_WORDS.get(name)
            if hint is not None:
                raise UserError(f"There is no option '{name}'; did you mean '{hint}'?")
            raise unknown("option", name, sections.keys() | short_options)
    if pretrains:
        _set_inputs(recipe, options)
    return recipe


def _set_inputs(recipe: dict[str, Any], options: Mapping[str, Any]) -> None:
    """The columns that are aligned, and the kinds of those that an option names by their kind."""
    kinds = {str(options[kind]): kind for kind in COLUMN_KINDS if options.get(kind) is not None}
    inputs = options.get("inputs") or []
    names = [*kinds, *(inputs.split(",") if isinstance(inputs, str) else inputs)]
    if names:
        data = recipe.setdefault("data", {})
        data["inputs"] = list(dict.fromkeys(names))
        data["columns"] = _section("data.columns", data.get("columns")) | kinds


def _set_column(recipe: dict[str, Any], value: Any) -> None:
    """Nothing yet: `_set_inputs` reads the columns of all kinds together."""


def _set_target(recipe: dict[str, Any], value: Any) -> None:
    recipe.setdefault("data", {})["target"] = parse_targets(value)


def _set_encoders(recipe: dict[str, Any], value: Any) -> None:
    inputs = recipe.setdefault("inputs", {})
    if not isinstance(value, Mapping):
        raise UserError(f"encoders is {value!r}, but it gives each input its encoder, as {{'photo': 'vit'}}.")
    for column, text in value.items():
        inputs[column] = _section(f"inputs.{column}", inputs.get(column)) | parse_encoder(column, text)


def _set_fusion(setting: str) -> Callable[[dict[str, Any], Any], None]:
    """Sets one setting of the fusion."""

    def set_option(recipe: dict[str, Any], value: Any) -> None:
        recipe.setdefault("fusion", {})[setting] = value

    return set_option


def _set_of_targets(setting: str) -> Callable[[dict[str, Any], Any], None]:
    """Sets one setting of every target, or of those that a mapping, target → value, names."""

    def set_option(recipe: dict[str, Any], value: Any) -> None:
        by_target = (
            value if isinstance(value, Mapping) else dict.fromkeys(recipe.get("data", {}).get("target", {}), value)
        )
        for target, target_value in by_target.items():
            sections = recipe.setdefault("targets", {})
            sections[target] = _section(f"targets.{target}", sections.get(target)) | {setting: target_value}

    return set_option


def _set_head(recipe: dict[str, Any], value: Any) -> None:
    """The head of each target: of a mapping, of texts `TARGET=NAME:MODEL,...`, or of one text for all targets."""
    targets = list(recipe.get("data", {}).get("target", {}))
    if isinstance(value, Mapping):
        by_target = dict(value)
    else:
        by_target = {}
        for text in [value] if isinstance(value, str) else value:
            target, equals, head = text.partition("=")
            is_named = bool(equals) and not set(target) & set(":,")
            by_target |= {target: head} if is_named else dict.fromkeys(targets, text)
    sections = recipe.setdefault("targets", {})
    for target, head in by_target.items():
        sections[target] = _section(f"targets.{target}", sections.get(target)) | parse_head(target, head)


def _set_teacher(recipe: dict[str, Any], value: Any) -> None:
    """The teacher, and distillation where no objective learns from one."""
    recipe["teacher"] = str(value)
    objectives = recipe.get("objectives") or []
    names = [str(_section("objectives", objective).get("name")) for objective in objectives]
    if not any(getattr(OBJECTIVES.get(name), "distills", False) for name in names):
        recipe["objectives"] = [*objectives, {"name": "distillation"}]


def _set_pairs(recipe: dict[str, Any], value: str | Iterable[str | Iterable[str]]) -> None:
    """Pairs of inputs that are brought together, each by the objectives after its `=`; those of a fit are contrastive
    where none is named, those of a pretraining the family's.
    """
    pairs, objectives = [], []
    usual = [] if recipe.get(FAMILY) else [USUAL_ALIGNING]
    for entry in [value] if isinstance(value, str) else value:
        inputs, _, names = entry.partition("=") if isinstance(entry, str) else (entry, "", "")
        pairs.append(_pair(inputs))
        objectives += [{"name": name, "inputs": pairs[-1]} for name in (names.split("+") if names else usual)]
    if recipe.get(FAMILY):
        recipe[FAMILY]["pairs"] = pairs
    unpaired = [
        objective
        for objective in recipe.get("objectives") or []
        if len(_section("objectives", objective).get("inputs") or []) != 2
    ]
    recipe["objectives"] = unpaired + objectives


def _pair(inputs: str | Iterable[str]) -> list[str]:
    """The two inputs of `a,b`, or of two names."""
    names = inputs.split(",") if isinstance(inputs, str) else list(inputs)
    if len(names) != 2:
        raise UserError(f"align has {inputs!r}, but aligns two inputs, as photo,caption.")
    return names


def _copy(name: str, value: Any) -> Any:
    """A setting as it is; a section as a copy, which options change."""
    is_section = name in SECTIONS and not (name == FAMILY and value is None)
    return _section(name, value) if is_section else value


def _section(name: str, value: Any) -> dict[str, Any]:
    """A copy of a section of a recipe, which YAML makes None when it has no line."""
    if value is not None and not isinstance(value, Mapping):
        raise UserError(
            f"In the recipe, {name} is {value!r}, but it holds settings of its own, each a name and a value."
        )
    return dict(value or {})


def parse_targets(value: str | Iterable[str] | Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Target → kind or None, from a name, names, or `name=kind`. Raises UserError for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        raise UserError(
            f"The target is {value!r}, but it is the name of a column; write it in quotes if it looks like a number."
        )
    return {column: kind or None for column, _, kind in (name.partition("=") for name in names)}


def parse_encoder(column: str, text: str | Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one input from `NAME`, `NAME:MODEL` or `NAME:MODEL,setting=value,...`; a mapping stays so.

    `shares:INPUT` is another input's encoder.

    A value may be a list, `[1, 2]`, or a mapping, `{rate: 0.2}`.
    """
    if isinstance(text, Mapping):
        return dict(text)
    if text.startswith("shares:") and "," not in text:
        return {"shares": text.removeprefix("shares:")}
    return _parse_part("encoder", column, text, InputSettings)


def parse_head(target: str, text: str | Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one target from its head, written as an encoder is; a mapping stays so."""
    if isinstance(text, Mapping):
        return dict(text)
    parsed = _parse_part("head", target, text, TargetSettings)
    return {name: value for name, value in parsed.items() if value != {}}


def _parse_part(part: str, column: str, text: str, settings: type[BaseModel]) -> dict[str, Any]:
    """NAME:MODEL,setting=value as `settings`; what is none of theirs goes into `config`."""
    first, *assignments = _split_at_commas(text)
    name, _, model = first.partition(":")
    config: dict[str, Any] = {"model": model} if model else {}
    result: dict[str, Any] = {part: name}
    for assignment in assignments:
        setting, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(
                f"The {part} of '{column}' has '{assignment}', which is not setting=value; see docs/recipes.md."
            )
        section = result if setting in settings.model_fields else config
        section[setting] = value_of(value, f"the {part} of '{column}', {setting}")
    return result | {"config": config}


def _split_at_commas(text: str) -> list[str]:
    """`text` cut at the commas that are not within brackets."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def value_of(text: str, where: str) -> Any:
    """What `text` is as YAML: 3 is a number, true a truth, abc a word. Raises UserError, which says `where`."""
    try:
        return yaml.safe_load(text)
    except YAML_ERRORS as error:
        raise UserError(
            f"{where}: '{text}' is not a value ({yaml_problem(error)}); put it in quotes if it is text."
        ) from error


FIT_OPTIONS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "target": _set_target,
    "encoders": _set_encoders,
    "fusion": _set_fusion("name"),
    "combine": _set_fusion("combine"),
    "target_weights": _set_of_targets("weight"),
    "class_weights": _set_of_targets("class_weights"),
    "head": _set_head,
    "align": _set_pairs,
    "teacher": _set_teacher,
}
PRETRAINING_OPTIONS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    **dict.fromkeys(COLUMN_KINDS, _set_column),
    "encoders": _set_encoders,
    "align": _set_pairs,
}
SECTIONS = {
    name for name, field in Recipe.model_fields.items() if _settings_classes(field.annotation) and name != "objectives"
}
SECTION_BY_OPTION = section_by_option(Recipe)
