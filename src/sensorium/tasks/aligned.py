"""The inputs that are aligned: their columns and their towers."""

from pathlib import Path
from typing import Any

from sensorium.build.beginning import load_pretrained
from sensorium.build.model import check_inputs, check_sampling
from sensorium.config.schema import InputSettings, Recipe
from sensorium.console import Console
from sensorium.data.infer_schema import infer_schema
from sensorium.data.table import Table, read
from sensorium.errors import UserError
from sensorium.families.family import Family, Tower
from sensorium.tasks.base import Source


def check_contrastive(recipe: Recipe, folder: Path) -> None:
    """Sees to it that a recipe says what is aligned, and asks for nothing that only targets have. Raises UserError."""
    data, training = recipe.data, recipe.training
    if data.target or recipe.targets:
        raise UserError(
            "Pretraining learns which inputs belong together and has no target; leave it out, or name a column of"
            " classes with --labels."
        )
    if recipe.budget is not None:
        raise UserError("A budget tries settings of a fit; leave it out, and state the epochs instead.")
    if training.sampling == "balanced":
        raise UserError("Balanced sampling is by the classes of a target, and pretraining has none; leave it out.")
    if training.batch_size == 1:
        raise UserError(
            "In a batch of one record there is none to tell it from, so nothing is learned; raise batch_size."
        )
    if not data.inputs:
        raise UserError(
            "Nothing is said to be aligned; name columns, as --image photo --text caption, or --inputs photo,caption."
        )
    if recipe.begin_with is not None:
        raise UserError("begin_with is of a fit; pretraining goes on with what --from names.")
    if recipe.start_from is not None and Path(recipe.start_from).resolve() == folder.resolve():
        raise UserError(f"--from and --out are both {folder}; give the run that goes on a folder of its own.")


def open_table(records: Source, recipe: Recipe, family: Family, console: Console) -> tuple[Table, Recipe]:
    """The table with the inputs that are aligned, and the recipe with its file filled in. Prints what was understood.

    Raises UserError when there is no table, or a column is missing or cannot be an input, or the recipe does not fit.
    """
    data, labels = recipe.data, recipe.family.labels
    target = {} if labels is None else {labels: "class"}
    if isinstance(records, Table):
        known = {column.name: column.kind for column in records.schema.columns if column.name in data.inputs}
        group, key = data.group or records.schema.group, data.key or records.schema.key
        columns = {name: kind for name, kind in known.items() if kind not in ("target", "ignored")} | data.columns
        table = records.under(infer_schema(records, target, group, key, columns, inputs=data.inputs))
        stated: dict[str, Any] = {"group": group, "key": key}
    else:
        source = data.path if records is None else records
        if source is None:
            raise UserError("There are no records to learn from; give a table, or a recipe whose data has a path.")
        named = {"group": data.group, "key": data.key, "columns": data.columns, "inputs": data.inputs}
        table = read(source, target=target, quiet=True, **named)
        stated = {"path": str(source)} if isinstance(source, str | Path) else {}
    console.print_table(table.describe())
    _check_columns(table, data.inputs)
    recipe = recipe.model_copy(update={"data": data.model_copy(update=stated)})
    check_sampling(table, recipe)
    if recipe.start_from is None:
        check_inputs(table, encoder_settings(table, recipe, family))
        return table, recipe
    learned = family.continue_from(recipe.family, load_pretrained(table.schema, recipe, console))
    return table, recipe.model_copy(update={"family": learned})


def _check_columns(table: Table, named: list[str]) -> None:
    """Every named column is an input, and there is another to align it with."""
    inputs = [spec.name for spec in table.schema.inputs]
    for name in named:
        if not any(name in spec.columns for spec in table.schema.inputs):
            reason = table.schema.column(name).reason
            raise UserError(
                f"Column '{name}' of {table.source} cannot be aligned: {reason}; fill it in or leave it out."
            )
    if len(inputs) < 2:
        raise UserError(
            f"There is nothing to align '{inputs[0]}' with; name a second column, as --text caption or --inputs"
            f" {inputs[0]},caption."
        )


def encoder_settings(table: Table, recipe: Recipe, family: Family) -> dict[str, InputSettings]:
    """By input, the settings of its encoder: those of the recipe over those of the family's size."""
    known = family.towers(recipe.family)
    return recipe.inputs | {
        spec.name: _tower(recipe.inputs.get(spec.name, InputSettings()), known.get(spec.modality))
        for spec in table.schema.inputs
    }


def _tower(settings: InputSettings, tower: Tower | None) -> InputSettings:
    if tower is None or settings.encoder not in (None, tower.encoder):
        return settings
    return settings.model_copy(update={"encoder": tower.encoder, "config": tower.config | settings.config})
