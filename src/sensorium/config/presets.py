"""`fit --family albef`: a family's composition as plain settings, so that the recipe a run saves names no family."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium.config.load import read_recipe
from sensorium.errors import UserError, unknown
from sensorium.families.albef_training import SIZES

OPTIONS = ("image", "question", "answer", "size")  # of the family alone
RATE = {"tiny": 5e-4, "base": 2e-5}
BEGUN = 1e-4  # the learning rate where trained weights are gone on with
FAMILY = "albef"

Given = dict[str, Any] | str | Path | None


def expand_family(recipe: Given, options: Mapping[str, Any]) -> tuple[Given, dict[str, Any]]:
    """The recipe and the options of a fit, a family among the options made settings that lie under the recipe's own.

    Options: family (albef), image, question, answer (columns; the answer may state its kind, `answer=class`), size
    (tiny, as usual, or base), start_from (a pre-trained run or a checkpoint, whose encoders and fusion it begins with).
    Raises UserError for another family or size, and for a column that is not named.
    """
    family, named = options.get("family"), {name: options.get(name) for name in OPTIONS}
    others = {name: value for name, value in options.items() if name not in ("family", *OPTIONS)}
    if family is None:
        stated = next((name for name, value in named.items() if value is not None), None)
        if stated is not None:
            raise UserError(f"--{stated} belongs to a family; add --family {FAMILY}, or leave it out.")
        return recipe, others
    if family != FAMILY:
        raise unknown("family that can be fitted", family, [FAMILY])
    missing = next((name for name in ("image", "question", "answer") if named[name] is None), None)
    if missing is not None:
        raise UserError(f"--family {family} needs --{missing}: the column of the table that it is.")
    given = read_recipe(recipe) if isinstance(recipe, str | Path) else recipe or {}
    settings = _settings(**named, begin_with=others.pop("start_from", None))
    group = options.get("group") or (given.get("data") or {}).get("group") or named["image"]
    if group == named["image"]:
        # The questions about a picture stay on one side of a split, and share its encoding in a step.
        settings["data"]["group"], settings["training"]["sampling"] = group, "grouped"
        del settings["data"]["columns"][group]  # a group of pictures is an input as well, and needs no kind
    for target in list(settings.get("targets", {})):
        if _head(target, given, options.get("head")) not in (None, "answer"):
            del settings["targets"][target]  # its settings are the head answer's
    return _over(settings, given), others


def _head(target: str, given: Mapping[str, Any], option: Any) -> str | None:
    """The head of a target that an option (of every target, or target → name) or else the recipe states."""
    named = option.get(target) if isinstance(option, Mapping) else option
    return named or ((given.get("targets") or {}).get(target) or {}).get("head")


def _settings(image: str, question: str, answer: str, size: str | None, begin_with: Any) -> dict[str, Any]:
    """ALBEF that answers (Li et al. 2021, arXiv:2107.07651): a picture and a text, fused by BERT's upper layers, and a
    decoder over what they give.
    """
    target, _, kind = answer.partition("=")
    roles = {"query": question, "context": [image]}
    settings: dict[str, Any] = {
        "data": {
            "inputs": [image, question],
            "columns": {image: "image", question: "text"},
            "target": {target: kind or "answer"},
        },
    }
    if begin_with is not None:
        if size is not None:
            raise UserError("The model that --from names has its size already; leave --size out, or --from.")
        head, config, rate = {}, {}, BEGUN
        settings["begin_with"] = str(begin_with)
    else:
        if (size := size or "tiny") not in SIZES:
            raise unknown("size", size, SIZES)
        whole, rate = SIZES[size], RATE[size]
        settings["inputs"] = {
            image: {"encoder": "clip_image", "config": dict(whole.image)},
            question: {"encoder": "bert_text", "config": dict(whole.text)},
        }
        head = {"layers": whole.fusion_layers, "heads": whole.text["heads"]}
        config = {"dim": whole.text["width"]} | head
    settings["fusion"] = {"name": "bert", "config": roles | config}
    if kind in ("", "answer"):
        settings["targets"] = {target: {"head": "answer", "config": head}}
    return settings | {"training": {"learning_rate": rate}}


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others laid over them, one by one."""
    result = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        result[name] = _over(below[name], value) if both else value
    return result
