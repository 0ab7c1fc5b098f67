"""Going on from a trained run with new records: its settings, its schema with what classes are new, its weights."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from sensorium.data.columns.infer import count_labels
from sensorium.data.schema import Schema, TargetSpec
from sensorium.data.table import Table, read
from sensorium.errors import UserError, counted
from sensorium.heads.answer import Answer
from sensorium.model import Model, load
from sensorium.build.pretrained import init_from_pretrained
from sensorium.build.model import build, statistics
from sensorium.config.schema import InputSettings, Recipe, TargetSettings, check_recipe, read_recipe
from sensorium.console import Console
from sensorium.build.writing import answer_head_config

SLOWER = 0.3  # of the learning rate that the trained run had: benchmarks/warm_start.py measures it
SMALL = 0.1  # of their usual spread: the weights of a class that is new
# Settings of training that follow from the number of records, so that new records choose them anew.
CHOSEN = ("epochs", "batch_size", "patience", "refit", "workers")


def recipe_of(run: str | Path) -> Recipe:
    """The recipe of a trained run. Raises UserError when its folder has none."""
    path = Path(run) / "recipe.yaml"
    if not path.exists():
        raise UserError(f"There is no run in {run} to go on from: it has no recipe.yaml; check --from.")
    return check_recipe(read_recipe(path), f"the recipe {path}")


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
        for part in (settings["training"], *settings["inputs"].values()):
            if part["learning_rate"] is not None:
                part["learning_rate"] *= SLOWER
    return settings


def check_agrees(recipe: Recipe, folder: Path) -> None:
    """Sees to it that the recipe of a run in `folder` asks for no other model than that which it goes on from.

    Raises UserError for the first setting that contradicts it.
    """
    if recipe.start_from is None:
        if recipe.old_table is not None:
            raise UserError("--old-table names what a trained run has learned from; name that run with --from.")
        return
    run = Path(recipe.start_from)
    if run.resolve() == folder.resolve():
        raise UserError(f"--from and --out are both {folder}; give the run that goes on a folder of its own.")
    old, schema = recipe_of(run), _schema(load(run), run)
    for what, asked, known in _facts(recipe, old, schema):
        if asked != known:
            raise UserError(
                f"In {run} {what} is {_spelled(known)}, and a run that goes on from it cannot change that to"
                f" {_spelled(asked)}; leave it out, or fit anew without --from."
            )


def _facts(recipe: Recipe, old: Recipe, schema: Schema) -> list[tuple[str, Any, Any]]:
    """(what it is, as asked, as trained) of every setting that a trained model holds."""
    data = recipe.data
    kinds = {one.name: one.kind for one in schema.targets}
    columns = {one.name: one.kind for one in schema.columns} | kinds
    facts = [("the target", sorted(data.target), sorted(kinds))]
    facts += [
        (f"the kind of the target '{name}'", kind or kinds.get(name), kinds.get(name))
        for name, kind in data.target.items()
    ]
    facts += [("the group", data.group or schema.group, schema.group), ("the key", data.key or schema.key, schema.key)]
    facts += [(f"the kind of the column '{name}'", kind, columns.get(name)) for name, kind in data.columns.items()]
    for name in {**recipe.inputs, **old.inputs}:
        for setting in ("encoder", "config", "augment"):
            asked, known = (getattr(one.inputs.get(name, InputSettings()), setting) for one in (recipe, old))
            facts.append((f"the {setting} of the input '{name}'", asked, known))
    for name in {**recipe.targets, **old.targets}:
        asked, known = (one.targets.get(name, TargetSettings()).config for one in (recipe, old))
        facts.append((f"the config of the target '{name}'", asked, known))
    return [*facts, *((f"the fusion's {name}", getattr(recipe.fusion, name), known) for name, known in old.fusion)]


def _spelled(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, value))
    return "not stated" if value in (None, {}) else repr(value) if isinstance(value, str) else str(value)


def _schema(model: Model, run: Path) -> Schema:
    if model.schema is None:
        raise UserError(f"The model in {run} has no schema, so no table can be read for it; fit one from a table.")
    return model.schema


def read_new(source: Table | pd.DataFrame | list[dict] | str | Path, run: str, console: Console) -> Table:
    """New records, read as those that `run` has learned from; classes that are new come after the known ones.

    Says what is new and what is not read. Raises UserError for a value of another kind.
    """
    schema = _schema(load(run), Path(run))
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
    grown = [_grown(table, spec) for spec in schema.targets]
    console.print(f"Goes on from {run}, with {counted(len(table), 'record')} of {table.source}.")
    for old, new in zip(schema.targets, grown, strict=True):
        if len(new.labels) > len(old.labels):
            console.print(f"New in '{new.name}': {', '.join(new.labels[len(old.labels) :])}.")
    for what, names in (
        ("not read, as the model does not know them", set(table.frame.columns) - {one.name for one in schema.columns}),
        ("absent in every record", {name for one in schema.inputs for name in one.columns} - set(table.frame.columns)),
    ):
        if names:
            console.print(f"Columns that are {what}: {', '.join(sorted(map(str, names)))}.")
    return table.under(schema.model_copy(update={"targets": grown}))


def _grown(table: Table, spec: TargetSpec) -> TargetSpec:
    """The target with the classes or labels of the table that it did not have, after those it had."""
    if spec.kind == "number":
        return spec
    found = count_labels(table.cells(spec.name, spec.kind), spec.kind)
    return spec.model_copy(update={"labels": spec.labels + [name for name in found if name not in spec.labels]})


def checkpoint_fingerprint(run: str | Path) -> bytes:
    """What the model of a run or a checkpoint is known by: a hash of its weights and its description."""
    folder, digest = Path(run), hashlib.blake2b(digest_size=16)
    folder = folder / "model" if (folder / "model" / "model.json").exists() else folder
    for name in ("model.json", "model.safetensors"):
        with open(folder / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.digest()


def build_or_load(table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
    """The model as training finds it: new for the training records `table`, or with parts of a trained one, or that of
    the run it goes on from.
    """
    if recipe.begin_with is not None:
        return init_from_pretrained(table, recipe, facts)
    return build(table, recipe, facts) if recipe.start_from is None else extend_heads(load(recipe.start_from), table, recipe)


def extend_heads(model: Model, table: Table, recipe: Recipe) -> Model:
    """`model` with heads for the targets of `table`, the training records: what it knew stays bit for bit.

    A class that is new gets small weights and the bias of its frequency. What is fitted on validation records after
    training (temperatures, thresholds) begins anew. Encoders, their processors and the fusion are those of `model`.
    """
    torch.manual_seed(recipe.seed)
    encoders, heads = {name: model.encoders[name] for name in model.encoders.names}, {}
    for spec in table.schema.targets:
        old, settings = model.heads[spec.name], recipe.targets.get(spec.name, TargetSettings())
        writes = isinstance(old, Answer)
        counted = answer_head_config(table, spec, encoders) if writes else statistics(table, spec, settings)
        heads[spec.name] = _grow_head(old, counted, model.fusion.dim)
    projections = {name: model.projections[name] for name in model.projections.names}
    temperature = float((-model.logit_scale.detach()).exp()) if hasattr(model, "logit_scale") else None
    return Model(encoders, projections, model.fusion, heads, temperature, table.schema)


def _grow_head(old: nn.Module, counted: dict[str, Any], dim: int) -> nn.Module:
    config = old.config.model_dump()
    inner = config["config"] if "experts" in config else config
    if "classes" in inner:
        inner |= _mixed(inner, counted)
    if "answers" in counted:
        fitting = [one[: config["context"] - 1] + one[-1:] for one in counted["answers"]]
        config |= {"prior": counted["prior"], "answers": fitting}
    new = type(old)(old.Config.model_validate(config), dim)
    with torch.no_grad():
        for mine, theirs in zip(new.parameters(), old.parameters(), strict=True):
            if mine.ndim > 1:
                mine[len(theirs) :] *= SMALL
            mine[: len(theirs)] = theirs
    return new


def _mixed(old: dict[str, Any], counted: dict[str, Any]) -> dict[str, Any]:
    """What a head of classes knows of its records. The prior is the mean of the old one and of that of the new records,

    for the model has learned from both. A number's mean and scale are its unit, so they stay.
    """
    before = old["prior"] + [0.0] * (counted["classes"] - len(old["prior"]))
    prior = [(one + two) / 2 for one, two in zip(before, counted["prior"], strict=True)]
    mixed = {"classes": counted["classes"], "prior": prior}
    if "class_weights" in counted:
        balanced = counted["class_weights"] is not None
        mixed["class_weights"] = [1 / (len(prior) * one) for one in prior] if balanced else None
        mixed["choose_threshold"] = len(prior) == 2 and max(prior) > 0.8
    return mixed
