"""Where the records of a fit come from: a file, a table, the recipe."""

from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.build.continual import read_new
from sensorium.build.model import check_model_settings
from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.table import Table, read
from sensorium.errors import UserError

RESERVED = ("key", "absent")  # columns of every table of predictions


def open_table(
    records: Table | pd.DataFrame | list[dict] | str | Path | None, recipe: Recipe, console: Console
) -> tuple[Table, Recipe]:
    """The table to learn from, and the recipe with its file and columns filled in. Prints what was understood.

    Raises UserError when there is no table, or no target, or the recipe does not fit the table.
    """
    data = recipe.data
    if recipe.start_from is not None and (records is not None or data.path is not None):
        table = read_new(data.path if records is None else records, recipe.start_from, console)
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
        named = {"target": data.target, "group": data.group, "key": data.key, "inputs": data.inputs or None}
        table = read(source, columns=columns, quiet=True, **named)
        stated = {"path": str(source)} if isinstance(source, str | Path) else {}
        console.print_table(table.describe())
    if not table.schema.targets:
        raise UserError("Nothing is said to be learned; read the table with target=, naming its column.")
    reserved = next((one.name for one in table.schema.targets if one.name in RESERVED), None)
    if reserved:
        raise UserError(f"The target is named '{reserved}', as a column of every table of predictions is; rename it.")
    check_model_settings(table, recipe)
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
