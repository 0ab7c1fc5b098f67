"""The settings that a search tries: a small list, each one change of the recipe, then the good changes in pairs."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

from sensorium.model import Model, is_frozen
from sensorium.config.schema import InputSettings, Recipe, check_recipe

FINE_RATE = 5e-5  # of a pretrained encoder that is trained on


class Change(NamedTuple):
    """One setting of the recipe, by the names on the way to it, and its other value."""

    place: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return f"{'.'.join(self.place)}={self.value}"


Changes = tuple[Change, ...]
"""The changes of a candidate; () is the recipe as it was asked for."""


def one_change_trials(recipe: Recipe, model: Model) -> list[Changes]:
    """The candidates of one idea each, the likely and cheap first; none touches a setting that is not at its default.

    Learning rate, the ways of fusing, modality dropout, dropout and averaging; last, pretrained encoders that are
    trained on, which takes long. A run that goes on from another keeps that one's fusion.
    """
    several, training = len(model.encoders) > 1 and recipe.start_from is None, recipe.training
    found: list[Changes] = []
    for factor in (3, 1 / 3):
        found.append((Change(("training", "learning_rate"), float(f"{training.learning_rate * factor:.3g}")),))
    if several and not recipe.fusion.config:
        found += [(Change(("fusion", "name"), name),) for name in ("late", "concat")]
    if several:
        found.append((Change(("training", "modality_dropout"), 0.0),))
    found.append((Change(("training", "averaging"), "ema"),))
    if not recipe.fusion.config and recipe.start_from is None:
        found += [(Change(("fusion", "config"), {"dropout": 0.4}),), (Change(("fusion", "config"), {"dim": 256}),)]
    if several and not recipe.fusion.config:
        found.append((Change(("fusion", "name"), "transformer"),))
    found = [one for one in found if all(_is_default(recipe, change) for change in one)]
    return found + list(_trained_on(recipe, model))


def _is_default(recipe: Recipe, change: Change) -> bool:
    """Whether the setting is as it is when nobody says otherwise, or the run goes on from one that said it."""
    return recipe.start_from is not None or _at(recipe, change.place) == _at(Recipe(), change.place)


def _trained_on(recipe: Recipe, model: Model) -> Iterator[Changes]:
    for name, encoder in model.encoders.items():
        settings = recipe.inputs.get(name, InputSettings())
        if is_frozen(encoder) and settings.frozen is None and settings.views == 1:
            rate = settings.learning_rate or FINE_RATE
            yield (Change(("inputs", name, "frozen"), False), Change(("inputs", name, "learning_rate"), rate))


def paired_trials(better: Iterable[Changes]) -> list[Changes]:
    """The candidates that join two of the `better` ones, best first, where they do not change the same."""
    found = []
    for one, two in combinations(better, 2):
        if not {change.place for change in one} & {change.place for change in two}:
            found.append((*one, *two))
    return found


def apply_changes(recipe: Recipe, candidate: Changes) -> Recipe:
    """The recipe with the candidate's changes. Raises UserError when they do not fit."""
    settings = recipe.model_dump(mode="json")
    for place, value in candidate:
        part = settings
        for name in place[:-1]:
            part = part.setdefault(name, {})
        part[place[-1]] = value
    return check_recipe(settings)


def words(candidate: Changes) -> str:
    """The changes as a person writes them."""
    return ", ".join(map(str, candidate)) or "as asked"


def _at(recipe: Recipe, place: tuple[str, ...]) -> Any:
    part: Any = recipe
    for name in place:
        part = getattr(part, name)
    return part
