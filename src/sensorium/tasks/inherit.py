"""What a run that goes on from another takes from it: its settings, and its schema for the new records."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.config.load import read_run_recipe
from sensorium.config.schema import InputSettings, Recipe, TargetSettings
from sensorium.console import Console
from sensorium.data.read import read
from sensorium.data.schema import Schema, TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError, counted

SLOWER = 0.3  # of the learning rate that the trained run had: benchmarks/warm_start.py measures it
# Settings of training that follow from the number of records, so that new records choose them again.
CHOSEN = ("epochs", "batch_size", "patience", "refit", "workers")


def recipe_of(run: str | Path) -> Recipe:
    """The recipe of a trained run; of a converted checkpoint that decides on targets, one that names them. Raises
    UserError when the folder has neither."""
    recipe, model = read_run_recipe(run), Path(run) / "model.json"
    if recipe is not None:
        return recipe
    described = json.loads(model.read_text(encoding="utf-8")) if model.is_file() else {}
    kinds = {target["name"]: target["kind"] for target in (described.get("schema") or {}).get("targets", ())}
    if not kinds:
        raise UserError(f"There is no run in {run} to go on from: it has no recipe.yaml; check --from.")
    heads = {name: head for name, head in described["heads"].items() if name in kinds}
    return Recipe.model_validate(
        {
            "data": {"target": kinds},
            "fusion": described["fusion"],
            "targets": {
                # What a head with a tokenizer is, it stays; others learn of the new records.
                name: {"head": head["name"], "config": head["config"] if head.get("processor") else {}}
                for name, head in heads.items()
            },
        }
    )


def inherited_settings(run: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """The settings that a run which goes on from `run` begins with: that run's own, but slower and for its own records.

    options: what is asked for; records held out in one way are not held out in another. Raises UserError.
    """
    recipe = recipe_of(run)
    settings = recipe.model_dump(mode="json") | {"old_table": None}
    settings["data"]["path"] = None
    if options.get("test") is not None or options.get("split") is not None:
        settings["data"] |= {"test": None, "split": None, "held_out": None}
    settings["training"] |= dict.fromkeys(CHOSEN)
    if recipe.start_from is None:  # one that went on itself is slow already
        for section in (settings["training"], *settings["inputs"].values()):
            if section["learning_rate"] is not None:
                section["learning_rate"] *= SLOWER
    return settings


def check_agrees(recipe: Recipe, folder: Path, schema: Schema | None) -> None:
    """Checks that the recipe of a run in `folder` asks for no other model than that which it goes on from, whose schema
    is `schema`. Raises UserError for the first setting that contradicts it.
    """
    if recipe.start_from is None:
        if recipe.old_table is not None:
            raise UserError("--old-table names what a trained run has learned from; name that run with --from.")
        return
    run = Path(recipe.start_from)
    if run.resolve() == folder.resolve():
        raise UserError(f"--from and --out are both {folder}; give the run that goes on a folder of its own.")
    for setting, asked, trained in _trained_settings(recipe, recipe_of(run), schema):
        if asked != trained:
            raise UserError(
                f"In {run} {setting} is {_spelled(trained)}, and a run that goes on from it cannot change that to"
                f" {_spelled(asked)}; leave it out, or fit anew without --from."
            )


def _trained_settings(recipe: Recipe, old: Recipe, schema: Schema) -> list[tuple[str, Any, Any]]:
    """(what it is, as asked, as trained) of every setting that a trained model holds."""
    data = recipe.data
    kinds = {spec.name: spec.kind for spec in schema.targets}
    columns = {column.name: column.kind for column in schema.columns} | kinds
    settings = [("the target", sorted(data.target), sorted(kinds))]
    settings += [
        (f"the kind of the target '{name}'", kind or kinds.get(name), kinds.get(name))
        for name, kind in data.target.items()
    ]
    settings += [
        ("the group", data.group or schema.group, schema.group),
        ("the key", data.key or schema.key, schema.key),
    ]
    settings += [(f"the kind of the column '{name}'", kind, columns.get(name)) for name, kind in data.columns.items()]
    for name in {**recipe.inputs, **old.inputs}:
        for field in ("encoder", "config", "augment"):
            asked, trained = (getattr(each.inputs.get(name, InputSettings()), field) for each in (recipe, old))
            settings.append((f"the {field} of the input '{name}'", asked, trained))
    for name in {**recipe.targets, **old.targets}:
        asked, trained = (each.targets.get(name, TargetSettings()).config for each in (recipe, old))
        settings.append((f"the config of the target '{name}'", asked, trained))
    fusion = [(f"the fusion's {name}", getattr(recipe.fusion, name), trained) for name, trained in old.fusion]
    return [*settings, *fusion]


def _spelled(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, value))
    return "not stated" if value in (None, {}) else repr(value) if isinstance(value, str) else str(value)


def read_new(
    source: Table | pd.DataFrame | list[dict] | str | Path, run: str, schema: Schema, console: Console
) -> Table:
    """New records, read as those that `run` has learned from, by its `schema`; classes that are new come after its own.

    Says what is new and what is not read. Raises UserError for a value of another kind.
    """
    if isinstance(source, Table):
        table = read(source.frame, schema=schema, root=source.root, rows=source.rows)
    else:
        table = read(source, schema=schema)
    for spec in schema.targets:
        if pd.isna(table.cells(spec.name, spec.kind)).all():
            raise UserError(
                f"None of the {counted(len(table), 'record')} of {table.source} has the target '{spec.name}',"
                f" which {run} learned; fill it in where it is known."
            )
    targets = [_with_new_labels(table, spec) for spec in schema.targets]
    console.print(f"Goes on from {run}, with {counted(len(table), 'record')} of {table.source}.")
    for old, new in zip(schema.targets, targets, strict=True):
        if len(new.labels) > len(old.labels):
            console.print(f"New in '{new.name}': {', '.join(new.labels[len(old.labels) :])}.")
    read_columns = {name for spec in schema.inputs for name in spec.columns}
    for description, names in (
        (
            "not read, as the model does not know them",
            set(table.frame.columns) - {column.name for column in schema.columns},
        ),
        ("absent in every record", read_columns - set(table.frame.columns)),
    ):
        if names:
            console.print(f"Columns that are {description}: {', '.join(sorted(map(str, names)))}.")
    return table.under(schema.model_copy(update={"targets": targets}))


def _with_new_labels(table: Table, spec: TargetSpec) -> TargetSpec:
    """The target with the labels of the table that it did not have, after those it had."""
    labels = TARGETS[spec.kind].label_counts(table.cells(spec.name, spec.kind))
    return spec.model_copy(update={"labels": spec.labels + [label for label in labels if label not in spec.labels]})
