"""Where a run's settings and records come from: recipe file, options, saved run, table."""

from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.data.table import Table, read
from sensorium.errors import UserError
from sensorium.recipe.build import check_parts
from sensorium.recipe.options import apply
from sensorium.recipe.settings import Recipe, check, read_recipe
from sensorium.recipe.talk import Talk
from sensorium.recipe.warm import base_of, check_agrees, read_new

RESERVED = ("key", "absent")  # columns of every table of predictions


def settle(folder: Path, recipe: dict[str, Any] | str | Path | None, options: dict[str, Any], resume: bool) -> Recipe:
    """The recipe that is asked for: the saved one of `folder` when resuming, the given one, and options over it."""
    base: dict[str, Any] = {}
    saved: dict[str, Any] = {}
    if resume and (folder / "recipe.yaml").exists():
        base = saved = read_recipe(folder / "recipe.yaml")
    elif resume and recipe is None and all(value is None for value in options.values()):
        raise UserError(
            f"There is no run in {folder} to go on with; check --out, or begin one by naming its table and target."
        )
    if recipe is not None:
        base = base | (dict(recipe) if isinstance(recipe, dict) else read_recipe(recipe))
    start = options.get("start_from")
    if start is not None:
        if recipe is not None:
            raise UserError(
                "--from takes the trained run's settings and --recipe brings others; leave one of the two out,"
                " and say what differs with --set."
            )
        options = options | {"start_from": str(start)}
        base = base or base_of(start, options)
    settled = check(apply(base, options), "the recipe" if base else "the settings")
    if settled.data.split is not None and settled.data.test is not None:
        raise UserError(
            "A split and a share for the test both say which records are held out; leave one of the two out."
        )
    check_agrees(settled, folder)
    known = (saved.get("data") or {}).get("target")
    if settled.data.target == known:  # but for the order, which decides the order of the model's heads
        settled = settled.model_copy(update={"data": settled.data.model_copy(update={"target": known})})
    return settled


def open_table(
    records: Table | pd.DataFrame | list[dict] | str | Path | None, recipe: Recipe, talk: Talk
) -> tuple[Table, Recipe]:
    """The table to learn from, and the recipe with its file and columns filled in. Prints what was understood.

    Raises UserError when there is no table, or no target, or the recipe does not fit the table.
    """
    data = recipe.data
    if recipe.start_from is not None and (records is not None or data.path is not None):
        table = read_new(data.path if records is None else records, recipe.start_from, talk)
        stated = {"target": {one.name: one.kind for one in table.schema.targets}}
        stated |= {"path": str(records)} if isinstance(records, str | Path) else {}
    elif isinstance(records, Table):
        table, stated = records, _stated(records, recipe)
    else:
        source = data.path if records is None else records
        if source is None:
            raise UserError("There are no records to learn from; give a table, or a recipe whose data has a path.")
        if not data.target:
            raise UserError("Nothing is said to be learned; name the column with --target.")
        taken = {*data.columns, *data.target, data.group, data.key, None}
        columns = data.columns | ({} if data.split in taken else {data.split: "ignored"})
        table = read(source, target=data.target, group=data.group, key=data.key, columns=columns, quiet=True)
        stated = {"path": str(source)} if isinstance(source, str | Path) else {}
        talk.show(table.describe())
    if not table.schema.targets:
        raise UserError("Nothing is said to be learned; read the table with target=, naming its column.")
    reserved = next((one.name for one in table.schema.targets if one.name in RESERVED), None)
    if reserved:
        raise UserError(f"The target is named '{reserved}', as a column of every table of predictions is; rename it.")
    check_parts(table, recipe)
    return table, recipe.model_copy(update={"data": data.model_copy(update=stated)})


def _stated(table: Table, recipe: Recipe) -> dict[str, Any]:
    """What a table that was read already says of itself. Raises UserError when the recipe says otherwise."""
    schema, data = table.schema, recipe.data
    stated = {"target": {one.name: one.kind for one in schema.targets}, "group": schema.group, "key": schema.key}
    asked = {"target": data.target, "group": data.group, "key": data.key}
    other = [name for name, value in asked.items() if value and _names(value) != _names(stated[name])]
    kinds = {column.name: column.kind for column in schema.columns}
    other += [f"kind of '{name}'" for name, kind in data.columns.items() if kinds.get(name) not in (kind, "target")]
    if other:
        raise UserError(
            f"The table was read with another {other[0]} than fit() is asked for;"
            " state it to read(), which makes the table."
        )
    return stated


def _names(stated: str | dict[str, Any] | None) -> set[str]:
    return {stated} if isinstance(stated, str) else set(stated or ())
