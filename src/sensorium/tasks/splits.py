"""The parts of a table: what is trained on, what chooses the epoch, what is scored once at the end."""

import hashlib
import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.build.continual import checkpoint_fingerprint
from sensorium.config.schema import Recipe
from sensorium.data.table import Table
from sensorium.data.targets.encode import encode
from sensorium.errors import UserError, counted

# What may differ between a stopped run and the run that goes on with it: none of it changes a bit of the outcome.
FREE = {
    "training": {"workers", "checkpoint_seconds"}, "data": {"path"}, "cache_gigabytes": True,
    "start_from": True, "begin_with": True, "old_table": True, "budget": True,
}  # fmt: skip


class Split(NamedTuple):
    """A part of the table: its records, and by input name their content ids, int64 [N]."""

    name: str
    table: Table
    ids: dict[str, np.ndarray]


def split_records(
    table: Table,
    ids: dict[str, np.ndarray],
    recipe: Recipe,
    seen: np.ndarray | None = None,
    together: np.ndarray | None = None,
) -> dict[str, Split]:
    """`train`, `validation`, `known` (both) and, when the recipe holds records out, `test`; by group if there is one.

    seen: bool [N], records that an earlier training has learned from: all of them are trained on, none is held out.
    together: int64 [N], records of equal value that stay in one part, where there is no group.
    Raises UserError when a part would be empty, or without the targets it is for.
    """
    data = recipe.data
    whole, all_ids = table, ids
    if seen is not None:
        table, ids = table.take(~seen), {name: values[~seen] for name, values in ids.items()}
    _check_groups(table, recipe)
    found: dict[str, Table] = {}
    if data.split is not None:
        table, found["test"] = table.split(column=data.split, test=data.held_out, ids=ids)
    elif data.test is not None:
        table, found["test"] = table.split(1 - data.test, seed=recipe.seed, ids=ids, together=together)
    found["known"], inner = table, _ids(whole, all_ids, table)
    if together is not None:
        together = together[_places(whole, table)]
    found["train"], found["validation"] = table.split(
        1 - data.validation, seed=recipe.seed + 1, ids=inner, together=together
    )
    if seen is not None:
        for name in ("known", "train"):
            part = found[name]
            found[name] = whole.take(np.isin(whole.rows, part.rows) | seen).under(part.schema)
    for name, part in found.items():
        if len(part) == 0:
            raise UserError(
                f"No record is left for the {name} part of {table.source}; bring more records or another split."
            )
        _check_targets(part, name)
    return {name: Split(name, part, _ids(whole, all_ids, part)) for name, part in found.items()}


def _check_groups(table: Table, recipe: Recipe) -> None:
    if table.groups is None or recipe.data.split is not None:
        return
    names = ["training", "validation"] + (["test"] if recipe.data.test is not None else [])
    count = len(set(table.groups))
    if count < len(names):
        raise UserError(
            f"Column '{table.schema.group}' of {table.source} has {counted(count, 'group')}, too few for the"
            f" {len(names)} parts {', '.join(names)}, which share none; bring records of more groups, or leave the"
            " group out."
        )


def _check_targets(part: Table, name: str) -> None:
    """Every target is known in some training record, and some target in every other part."""
    targets = [spec.name for spec in part.schema.targets]
    empty = [spec.name for spec in part.schema.targets if pd.isna(part.cells(spec.name, spec.kind)).all()]
    if empty and (name == "train" or empty == targets):
        raise UserError(
            f"None of the {counted(len(part), 'record')} of the {name} part of {part.source}"
            f" has the target {' or '.join(map(repr, empty))}; fill in more of them, or split otherwise."
        )


def fingerprint_splits(split: dict[str, Split], recipe: Recipe) -> str:
    """Names everything the outcome of a run depends on: settings, keys, contents and targets of all parts."""
    # Sorted, for in a recipe the order of names means nothing; that of the targets is in the schema.
    settings = json.dumps(recipe.model_dump(mode="json", exclude=FREE), sort_keys=True)
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for run in (recipe.start_from, recipe.begin_with, recipe.teacher):
        if run is not None:
            digest.update(checkpoint_fingerprint(run))
    for name in sorted(split):
        part = split[name]
        digest.update("\0".join([name, *part.table.keys]).encode())
        for values in part.ids.values():
            digest.update(np.ascontiguousarray(values).data)
        for spec in part.table.schema.targets:
            for tensor in encode(part.table, spec).values():
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _ids(whole: Table, ids: dict[str, np.ndarray], part: Table) -> dict[str, np.ndarray]:
    index = _places(whole, part)
    return {spec.name: ids[spec.name][index] for spec in part.schema.inputs}


def _places(whole: Table, part: Table) -> np.ndarray:
    """int64: where the records of `part` stand in `whole`."""
    return pd.Index(whole.rows).get_indexer(part.rows)
