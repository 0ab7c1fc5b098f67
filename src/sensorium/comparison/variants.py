"""What is compared with what: the variants, and the folds that all of them go through."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sensorium.build.model import check_fusion, fusion_class
from sensorium.config.schema import FusionSettings, Recipe
from sensorium.data.split import sides
from sensorium.data.table import Table
from sensorium.errors import UserError, counted, unknown
from sensorium.fusion import FUSIONS


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
        fusion = recipe.fusion if recipe.fusion.name == self.fusion else FusionSettings(name=self.fusion)
        if self.without is not None:
            fusion = fusion.model_copy(update={"config": _without_input(fusion.config, self.without)})
        return recipe.model_copy(update={"fusion": fusion, "inputs": {}, "seed": recipe.seed + seed})


def _without_input(config: dict[str, Any], removed: str) -> dict[str, Any]:
    """A fusion's settings without the input `removed`: lists and edges lose it; where it was the one that leads, the
    first of the others does, and asks the rest.
    """
    lists = {name: value for name, value in config.items() if isinstance(value, list | tuple)}
    if removed in (value for value in config.values() if isinstance(value, str)):
        return {name: value for name, value in config.items() if value != removed and name not in lists}
    shortened = {
        name: [entry for entry in value if removed not in ([entry] if isinstance(entry, str) else entry)]
        for name, value in lists.items()
    }
    return config | shortened


def variants(
    fusions: str | Sequence[str], table: Table, recipe: Recipe, tell: Callable[[str], None] = lambda sentence: None
) -> list[Variant]:
    """The named fusions, or "all", each over all inputs; then the recipe's without each one of several inputs.

    Of "all", one that does not take the table's inputs is left out, and `tell` hears why. Raises UserError for an
    unknown fusion, for a named one that does not take the inputs, and where there is nothing to compare.
    """
    inputs = tuple(spec.name for spec in table.schema.inputs)
    available = list({fusion: name for name, fusion in FUSIONS.items()}.values())  # of two names the recipe's own
    names = [name.strip() for name in fusions.split(",")] if isinstance(fusions, str) else list(fusions)
    every = names == ["all"]
    compared = []
    for name in available if every else dict.fromkeys(names):
        if name not in FUSIONS:
            raise unknown("fusion", name, [*available, "all"])
        try:
            check_fusion(Variant(name, inputs).recipe(recipe, 0), inputs)
        except UserError as error:
            if not every:
                raise
            tell(f"Left out: {error}")
            continue
        compared.append(Variant(name, inputs))
    names = [variant.fusion for variant in compared]
    default = recipe.fusion.name if recipe.fusion.name in names else names[0]
    if len(inputs) > 1:
        compared += [Variant(default, tuple(name for name in inputs if name != removed), removed) for removed in inputs]
    if len(compared) < 2:
        raise UserError("One fusion of one input leaves nothing to compare; name several with --fusion, or add inputs.")
    return compared


def reads_tokens(compared: list[Variant], recipe: Recipe) -> bool:
    """Whether any variant needs more of an input than its summary."""
    return any(fusion_class(variant.recipe(recipe, 0)).reads == "tokens" for variant in compared)


class Fold(NamedTuple):
    """The records, int64 from 0, that are trained on, that choose the epoch, and that are scored."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_folds(table: Table, count: int, recipe: Recipe, families: np.ndarray | None = None) -> list[Fold]:
    """`count` folds: each record is scored in one of them, groups and classes as in any split.

    families: int64 [N], records of equal value are in one fold, as those of one group are.

    Raises UserError for fewer than two folds, or more than there are records or groups.
    """
    groups = table.groups if families is None else families
    units = len(table) if groups is None else len(set(groups))
    unit = "record" if groups is None else "group"
    if not 2 <= count <= units:
        raise UserError(f"{counted(units, unit)} cannot make {count} folds; give --folds a number from 2 to {units}.")
    # Cut a test set of equal share off what is left, again and again.
    tests, remaining = [], np.arange(len(table))

    def cut_off(rows: np.ndarray, ratio: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        together = None if families is None else families[rows]
        _, keep, cut = sides(table.take(rows), ratio, seed, None, None, together)
        return rows[keep], rows[cut]

    for index in range(count - 1):
        remaining, test = cut_off(remaining, 1 - 1 / (count - index), recipe.seed + index)
        tests.append(test)
    tests.append(remaining)
    # Split the records outside each test set in training and validation.
    folds = []
    for test in tests:
        outside = np.setdiff1d(np.arange(len(table)), test)
        train, validation = cut_off(outside, 1 - recipe.data.validation, recipe.seed + 1)
        folds.append(Fold(train, validation, test))
    return folds
