"""What is compared with what: the candidates, and the folds that all of them go through."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sensorium.build.model import check_fusion, fusion_class
from sensorium.config.schema import FusionSettings, Recipe
from sensorium.data.split import sides
from sensorium.data.table import Table
from sensorium.errors import UserError, counted, unknown
from sensorium.fusion import FUSIONS

DEFAULT = FusionSettings().name


class Variant(NamedTuple):
    """A way of fusing `inputs`; `without` names the input that it does not get, None where it gets all."""

    fusion: str
    inputs: tuple[str, ...]
    without: str | None = None

    @property
    def name(self) -> str:
        """As a person calls it."""
        return self.fusion if self.without is None else f"{self.fusion} without {self.without}"

    def recipe(self, recipe: Recipe, seed: int) -> Recipe:
        """`recipe` with this fusion at its defaults, or as the recipe has it, for this seed; of encoders it says
        nothing, for they are not trained."""
        own = recipe.fusion if recipe.fusion.name == self.fusion else FusionSettings(name=self.fusion)
        if self.without is not None:
            own = own.model_copy(update={"config": _unnamed(own.config, self.without)})
        return recipe.model_copy(update={"fusion": own, "inputs": {}, "seed": recipe.seed + seed})


def _unnamed(config: dict[str, Any], gone: str) -> dict[str, Any]:
    """A fusion's settings without the input `gone`: lists and edges lose it; where it was the one that leads, the
    first of the others does, and asks the rest.
    """
    lists = {name: value for name, value in config.items() if isinstance(value, list | tuple)}
    if gone in (value for value in config.values() if isinstance(value, str)):
        return {name: value for name, value in config.items() if value != gone and name not in lists}
    named = {
        name: [one for one in value if gone not in ([one] if isinstance(one, str) else one)]
        for name, value in lists.items()
    }
    return config | named


def variants(
    fusions: str | Sequence[str], table: Table, recipe: Recipe, tell: Callable[[str], None] = lambda said: None
) -> list[Variant]:
    """The named fusions, or "all", each over all inputs; then the recipe's without each one of several inputs.

    Of "all", one that does not take the table's inputs is left out, and `tell` hears why. Raises UserError for an
    unknown fusion, for a named one that does not take the inputs, and where there is nothing to compare.
    """
    inputs = tuple(spec.name for spec in table.schema.inputs)
    known = [name if name != "separate" else "late" for name in FUSIONS]
    named = [one.strip() for one in fusions.split(",")] if isinstance(fusions, str) else list(fusions)
    every = named == ["all"]
    found = []
    for name in known if every else dict.fromkeys(named):
        if name not in known:
            raise unknown("fusion", name, [*known, "all"])
        try:
            check_fusion(Variant(name, inputs).recipe(recipe, 0), inputs)
        except UserError as error:
            if not every:
                raise
            tell(f"Left out: {error}")
            continue
        found.append(Variant(name, inputs))
    named = [one.fusion for one in found]
    default = recipe.fusion.name if recipe.fusion.name in named else named[0]
    if len(inputs) > 1:
        found += [Variant(default, tuple(one for one in inputs if one != gone), gone) for gone in inputs]
    if len(found) < 2:
        raise UserError("One fusion of one input leaves nothing to compare; name several with --fusion, or add inputs.")
    return found


def reads_tokens(found: list[Variant], recipe: Recipe) -> bool:
    """Whether any candidate needs more of an input than its summary."""
    return any(fusion_class(one.recipe(recipe, 0)).reads == "tokens" for one in found)


class Fold(NamedTuple):
    """The records, int64 from 0, that are trained on, that choose the epoch, and that are scored."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def folds(table: Table, count: int, recipe: Recipe) -> list[Fold]:
    """`count` folds: each record is scored in one of them, groups and classes as in any split.

    Raises UserError for fewer than two folds, or more than there are records or groups.
    """
    units = len(table) if table.groups is None else len(set(table.groups))
    what = "record" if table.groups is None else "group"
    if not 2 <= count <= units:
        raise UserError(f"{counted(units, what)} cannot make {count} folds; give --folds a number from 2 to {units}.")
    parts, rest = [], np.arange(len(table))
    for place in range(count - 1):
        _, kept, cut = sides(table.take(rest), 1 - 1 / (count - place), recipe.seed + place, None, None)
        parts.append(rest[cut])
        rest = rest[kept]
    parts.append(rest)
    found = []
    for test in parts:
        known = np.setdiff1d(np.arange(len(table)), test)
        _, train, validation = sides(table.take(known), 1 - recipe.data.validation, recipe.seed + 1, None, None)
        found.append(Fold(known[train], known[validation], test))
    return found
