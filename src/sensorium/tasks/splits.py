"""The splits of a table: what is trained on, what chooses the epoch, what is scored once at the end."""

import hashlib
import json
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from sensorium.build.continual import checkpoint_fingerprint
from sensorium.config.schema import Recipe, TargetSettings
from sensorium.data.split import join_codes
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError, counted

# What may differ between a stopped run and the run that goes on with it: none of it changes a bit of the outcome. What
# near_copies changes, the splits, is hashed itself.
FREE = {
    "training": {"workers", "checkpoint_seconds", "log"}, "data": {"path", "strict", "near_copies"},
    "cache_gigabytes": True, "start_from": True, "begin_with": True, "old_table": True, "budget": True, "preset": True,
}  # fmt: skip
HASHED_AS = {"train_val": "known"}  # runs that were begun with the older name go on


class Split(NamedTuple):
    """A part of the table: its records, by input name their content ids, int64 [N], and which of them belong together,
    int64 [N], None where each stands for itself.
    """

    name: str
    table: Table
    ids: dict[str, np.ndarray]
    together: np.ndarray | None = None


def split_records(
    table: Table,
    ids: dict[str, np.ndarray],
    recipe: Recipe,
    seen: np.ndarray | None = None,
    keep_together: np.ndarray | None = None,
) -> dict[str, Split]:
    """`train`, `validation`, `train_val` (both) and, when the recipe holds records out, `test`; by group if there is
    one.

    seen: bool [N], records that an earlier training has learned from: all of them are trained on, none is held out.
    keep_together: int64 [N], records of equal value that stay in one split, as those of one group do. Warns where a
    split that a column states, or `seen`, has such records on both sides.
    Raises UserError when a split would be empty, or without the targets it is for.
    """
    data = recipe.data
    all_records, all_ids = table, ids

    def groups_of(records: Table) -> np.ndarray | None:
        return None if keep_together is None else keep_together[_positions(all_records, records)]

    if seen is not None:
        table, ids = table.take(~seen), {name: values[~seen] for name, values in ids.items()}
    _check_groups(table, recipe)
    tables: dict[str, Table] = {}
    if data.split is not None:
        table, tables["test"] = table.split(column=data.split, test=data.held_out, ids=ids)
    elif data.test is not None:
        table, tables["test"] = table.split(1 - data.test, seed=recipe.seed, ids=ids, together=groups_of(table))
    tables["train_val"], train_val_ids = table, _ids_of(all_records, all_ids, table)
    tables["train"], tables["validation"] = table.split(
        1 - data.validation, seed=recipe.seed + 1, ids=train_val_ids, together=groups_of(table)
    )
    if seen is not None:
        for name in ("train_val", "train"):
            part = tables[name]
            tables[name] = all_records.take(np.isin(all_records.rows, part.rows) | seen).under(part.schema)
    if keep_together is not None and "test" in tables:
        _warn_of_copies(groups_of(tables["train_val"]), groups_of(tables["test"]))
    for name, part in tables.items():
        if len(part) == 0:
            raise UserError(
                f"No record is left for the {name} part of {part.source}; bring more records or another split."
            )
        _check_targets(part, name)
    return {
        name: Split(name, part, _ids_of(all_records, all_ids, part), _together(part, groups_of(part)))
        for name, part in tables.items()
    }


def _together(part: Table, copies: np.ndarray | None) -> np.ndarray | None:
    """int64 [N], equal for records of one group or that are near-copies."""
    groups = None if part.groups is None else np.unique(part.groups.astype(str), return_inverse=True)[1]
    codes = [values for values in (groups, copies) if values is not None]
    return join_codes(codes) if codes else None


def _warn_of_copies(train: np.ndarray, test: np.ndarray) -> None:
    copies = int(np.isin(test, train).sum())
    if copies:
        warnings.warn(
            f"{counted(copies, 'record')} of the {len(test)} of the test part have near-copies among the records that"
            " are trained on, so the score may flatter the model; delete the copies, or split by --test.",
            UserWarning,
            stacklevel=3,
        )


def cross_splits(splits: dict[str, Split], folds: int, seed: int) -> list[dict[str, Split]]:
    """For each of `folds` of the training records a `train` and a `validation` split: all training and validation
    records but the fold's, and the fold's. No fold parts records that belong together; [] where there are too few."""
    known = splits["train_val"]
    rows = np.flatnonzero(np.isin(known.table.rows, splits["train"].table.rows))
    together = np.arange(len(rows)) if known.together is None else known.together[rows]
    if len(np.unique(together)) < folds:
        return []
    splitter = GroupKFold(folds, shuffle=True, random_state=(seed + 1) % 2**31)
    left_out = [rows[positions] for _, positions in splitter.split(rows, groups=together)]
    everything = np.arange(len(known.table))
    return [
        {"train": _take(known, "train", np.setdiff1d(everything, fold)), "validation": _take(known, "validation", fold)}
        for fold in left_out
    ]


def _take(split: Split, name: str, rows: np.ndarray) -> Split:
    ids = {input_name: values[rows] for input_name, values in split.ids.items()}
    return Split(name, split.table.take(rows), ids, None if split.together is None else split.together[rows])


def fit_targets(splits: dict[str, Split], recipe: Recipe) -> dict[str, Split]:
    """The splits with what is learned of the targets before training, a list of answers, say, and what the recipe says
    of them.

    It is learned from the records that are trained or validated on, and from those of them that are not scored. Labels
    stay those of a run that is gone on from.
    """
    records = splits["train_val"].table
    unscored = splits["train_val" if "test" in splits else "train"].table
    schema = records.schema
    targets = []
    for spec in schema.targets:
        learned = TARGETS[spec.kind].fit(spec, records, unscored, recipe.start_from is not None)
        normalise = recipe.targets.get(spec.name, TargetSettings()).normalise
        targets.append(learned.model_copy(update={"normalise": normalise}))
    if targets == schema.targets:
        return splits
    return {
        name: split._replace(table=split.table.under(split.table.schema.model_copy(update={"targets": targets})))
        for name, split in splits.items()
    }


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


def run_fingerprint(splits: dict[str, Split], recipe: Recipe) -> str:
    """Names everything the outcome of a run depends on: settings, keys, contents and targets of all splits."""
    settings = recipe.model_dump(mode="json", exclude=FREE)
    # Of runs without them, these settings are hashed as before there were any.
    settings = {name: value for name, value in settings.items() if name != "experts" or value}
    settings["training"] = {name: value for name, value in settings["training"].items() if name != "cross_fit" or value}
    # Sorted, for in a recipe the order of names means nothing; that of the targets is in the schema.
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for run in (recipe.start_from, recipe.begin_with, recipe.teacher):
        if run is not None:
            digest.update(checkpoint_fingerprint(run))
    hashed = {HASHED_AS.get(name, name): split for name, split in splits.items()}
    for name, split in sorted(hashed.items()):
        digest.update("\0".join([name, *split.table.keys]).encode())
        for values in split.ids.values():
            digest.update(np.ascontiguousarray(values).data)
        for spec in split.table.schema.targets:
            for tensor in split.table.encode_target(spec).values():
                values = tensor.numpy()
                values = values.astype(np.float32) if values.dtype == np.float64 else values  # as old runs have them
                digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _ids_of(table: Table, ids: dict[str, np.ndarray], part: Table) -> dict[str, np.ndarray]:
    index = _positions(table, part)
    return {spec.name: ids[spec.name][index] for spec in part.schema.inputs}


def _positions(table: Table, part: Table) -> np.ndarray:
    """int64: where the records of `part` stand in `table`."""
    return pd.Index(table.rows).get_indexer(part.rows)
