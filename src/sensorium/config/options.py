"""Short options, as on the command line and in `sensorium.fit(...)`, made into a recipe's nested settings."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sensorium.config.schema import DataSettings, InputSettings, Recipe
from sensorium.errors import UserError, unknown
from sensorium.families import FAMILIES
from sensorium.training.settings import TrainingSettings

DATA = set(DataSettings.model_fields) - {"path", "target"}
TRAINING = set(TrainingSettings.model_fields)
TOP = {"loss_weights", "space", "seed", "cache", "cache_gigabytes", "start_from", "begin_with", "old_table", "budget"}
OWN = {"target", "encoders", "fusion", "combine", "target_weights", "class_weights", "head", "align", "teacher"}
ALIGNED = "contrastive"  # what brings the inputs of a fit together where nothing else is said
COLUMNS = ("image", "text", "audio")  # kinds of which an option of pretraining names the column
FAMILY = {name for family in FAMILIES.values() for name in family.Settings.model_fields} - {"name", "pairs"}
PRETRAINING = FAMILY | {*COLUMNS, "align", "encoders"}


# Arguments of verbs that are no settings.
ARGUMENTS = ("records", "out", "recipe", "resume", "overwrite", "quiet", "settings")


def collect_options(arguments: Mapping[str, Any], own: Collection[str] = ()) -> dict[str, Any]:
    """Of a verb's `arguments`, its locals(), those that are settings, by name, with all that stand under `settings`.

    own: the names of other arguments that are none.
    """
    options = {name: value for name, value in arguments.items() if name not in (*ARGUMENTS, *own)}
    options |= arguments["settings"]
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}


def apply_options(settings: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` (a recipe's nested mapping) with `options` laid over it; None leaves a setting as it is.

    Options: any setting of data, of training and at the top by its own name, and target (a name, a list of names, or
    name → kind), encoders (input → `NAME:MODEL,setting=value`), fusion, combine, target_weights (target → weight),
    class_weights, head (of every target, or target → name), align (a list of pairs of inputs that are brought together,
    each `a,b` or `a,b=triplet`), teacher (the folder of a run to learn from). Settings with a family take its own
    settings in the place of what is about targets and their fusion, and image, text, audio (the column of that kind)
    and align.
    Raises UserError for an unknown option, naming the nearest.
    """
    result = {key: _copy(key, value) for key, value in settings.items()}
    if "target" in result.get("data", {}):
        _own(result, "target", result["data"]["target"])
    own = PRETRAINING if result.get("family") else OWN
    for name, value in options.items():
        if value is None:
            continue
        if name in DATA:
            result.setdefault("data", {})[name] = value
        elif name in TRAINING:
            result.setdefault("training", {})[name] = value
        elif name in TOP:
            result[name] = value
        elif name in own:
            _own(result, name, value)
        elif name in OWN:
            raise UserError(f"Pretraining aligns inputs and has no {name}; leave it out, or take fit.")
        else:
            raise unknown("option", name, DATA | TRAINING | TOP | own)
    if result.get("family"):
        _inputs(result, options)
    return result


def _inputs(result: dict[str, Any], options: Mapping[str, Any]) -> None:
    """The columns that are aligned, and the kinds of those whose option says it."""
    stated = {str(options[kind]): kind for kind in COLUMNS if options.get(kind) is not None}
    named = options.get("inputs") or []
    names = [*stated, *(named.split(",") if isinstance(named, str) else named)]
    if names:
        data = result.setdefault("data", {})
        data["inputs"] = list(dict.fromkeys(names))
        data["columns"] = _section("data.columns", data.get("columns")) | stated


def _own(result: dict[str, Any], name: str, value: Any) -> None:
    if name in FAMILY:
        result["family"][name] = value
    elif name == "align":
        _align(result, [value] if isinstance(value, str) else value)
    elif name == "teacher":
        result["teacher"] = str(value)
        objectives = result.get("objectives") or []
        if not any(str(_section("objectives", one).get("name")).endswith("distillation") for one in objectives):
            result["objectives"] = [*objectives, {"name": "distillation"}]
    elif name in COLUMNS:
        pass  # together, in _inputs
    elif name == "target":
        result.setdefault("data", {})["target"] = targets(value)
    elif name == "encoders":
        inputs = result.setdefault("inputs", {})
        if not isinstance(value, Mapping):
            raise UserError(f"encoders is {value!r}, but it gives each input its encoder, as {{'photo': 'vit'}}.")
        for column, text in value.items():
            inputs[column] = _section(f"inputs.{column}", inputs.get(column)) | encoder(column, text)
    elif name in ("fusion", "combine"):
        result.setdefault("fusion", {})["name" if name == "fusion" else name] = value
    else:
        given = value if isinstance(value, Mapping) else dict.fromkeys(result.get("data", {}).get("target", {}), value)
        for target, one in given.items():
            places = result.setdefault("targets", {})
            setting = "weight" if name == "target_weights" else name
            places[target] = _section(f"targets.{target}", places.get(target)) | {setting: one}


def _align(result: dict[str, Any], stated: Iterable[str | Iterable[str]]) -> None:
    """Pairs of inputs that are brought together, each by what stands behind its `=`; a fit's are contrastive unless
    it says otherwise, a pretraining's are the family's.
    """
    pairs, objectives = [], []
    for one in stated:
        names, _, by = one.partition("=") if isinstance(one, str) else (one, "", "")
        pairs.append(_pair(names))
        known = by.split("+") if by else [] if result.get("family") else [ALIGNED]
        objectives += [{"name": name, "inputs": pairs[-1]} for name in known]
    if result.get("family"):
        result["family"]["pairs"] = pairs
    kept = [one for one in result.get("objectives") or [] if len(_section("objectives", one).get("inputs") or []) != 2]
    result["objectives"] = kept + objectives


def _pair(stated: str | Iterable[str]) -> list[str]:
    """The two inputs of `a,b`, or of two names."""
    names = stated.split(",") if isinstance(stated, str) else list(stated)
    if len(names) != 2:
        raise UserError(f"align has {stated!r}, but aligns two inputs, as photo,caption.")
    return names


def _copy(name: str, value: Any) -> Any:
    plain = (
        name in TOP | {"objectives", "teacher"}
        or name not in Recipe.model_fields
        or (name == "family" and value is None)
    )
    return value if plain else _section(name, value)


def _section(name: str, value: Any) -> dict[str, Any]:
    """A copy of a part of a recipe, which YAML makes None when it has no line."""
    if value is not None and not isinstance(value, Mapping):
        raise UserError(
            f"In the recipe, {name} is {value!r}, but it holds settings of its own, each a name and a value."
        )
    return dict(value or {})


def targets(value: str | Iterable[str] | Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Target → kind or None, from a name, names, or `name=kind`. Raises UserError for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        raise UserError(
            f"The target is {value!r}, but it is the name of a column; write it in quotes if it looks like a number."
        )
    return {name: kind or None for name, _, kind in (one.partition("=") for one in names)}


def encoder(column: str, text: str | Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one input from `NAME`, `NAME:MODEL` or `NAME:MODEL,setting=value,...`; a mapping stays so.

    `shares:INPUT` is another input's encoder.

    A value may be a list, `[1, 2]`, or a mapping, `{rate: 0.2}`.
    """
    if isinstance(text, Mapping):
        return dict(text)
    head, *rest = _pieces(text)
    name, _, model = head.partition(":")
    if name == "shares" and model and not rest:
        return {"shares": model}
    config: dict[str, Any] = {"model": model} if model else {}
    result: dict[str, Any] = {"encoder": name}
    for part in rest:
        setting, equals, value = part.partition("=")
        if not equals:
            raise UserError(f"The encoder of '{column}' has '{part}', which is not setting=value; see docs/recipes.md.")
        place = result if setting in InputSettings.model_fields else config
        place[setting] = value_of(value, f"the encoder of '{column}', {setting}")
    return result | {"config": config}


def _pieces(text: str) -> list[str]:
    """`text` cut at the commas that stand in no brackets."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def value_of(text: str, where: str) -> Any:
    """What `text` is as YAML: 3 is a number, true a truth, abc a word. Raises UserError, naming `where` it stands."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"{where}: '{text}' is not a value ({error.problem}); put it in quotes if it is text."
        ) from error
