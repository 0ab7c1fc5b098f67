"""Where a run's settings and records come from: recipe file, options, saved run, table."""

from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.data.table import Table, read
from sensorium.errors import UserError
from sensorium.recipe.options import apply
from sensorium.recipe.settings import Recipe, check, read_recipe
from sensorium.recipe.talk import Talk


def settle(folder: Path, recipe: dict[str, Any] | str | Path | None, options: dict[str, Any], resume: bool) -> Recipe:
    """The recipe that is asked for: the saved one of `folder` when resuming, the given one, and options over it."""
    base: dict[str, Any] = {}
    if resume and (folder / "recipe.yaml").exists():
        base = read_recipe(folder / "recipe.yaml")
    elif resume and recipe is None and not options:
        raise UserError(f"There is no run in {folder} to go on with: it has no recipe.yaml.")
    if recipe is not None:
        base = base | (dict(recipe) if isinstance(recipe, dict) else read_recipe(recipe))
    return check(apply(base, options))


def open_table(
    records: Table | pd.DataFrame | list[dict] | str | Path | None, recipe: Recipe, talk: Talk
) -> tuple[Table, Recipe]:
    """The table to learn from, and the recipe with its file and columns filled in. Prints what was understood.

    Raises UserError when there is no table, or no target.
    """
    data = recipe.data
    if isinstance(records, Table):
        schema = records.schema
        stated = {"target": {one.name: one.kind for one in schema.targets}, "group": schema.group, "key": schema.key}
        table = records
    else:
        source = data.path if records is None else records
        if source is None:
            raise UserError("There are no records to learn from; give a table, or a recipe whose data has a path.")
        if not data.target:
            raise UserError("Nothing is said to be learned; name the column with --target.")
        columns = data.columns | ({} if data.split is None or data.split in data.columns else {data.split: "ignored"})
        table = read(source, target=data.target, group=data.group, key=data.key, columns=columns, quiet=True)
        stated = {"path": str(source)} if isinstance(source, str | Path) else {}
        talk.show(table.describe())
    if not table.schema.targets:
        raise UserError("Nothing is said to be learned; read the table with target=, naming its column.")
    return table, recipe.model_copy(update={"data": data.model_copy(update=stated)})
