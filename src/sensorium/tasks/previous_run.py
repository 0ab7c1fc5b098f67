"""What a trained run has learned from and was tested on, so that a run that goes on keeps the two apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.columns.parse import objects
from sensorium.data.read import read
from sensorium.data.scan import content_ids
from sensorium.data.schema import Schema
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError, counted
from sensorium.evaluation.forgetting import Forgetting, forgetting
from sensorium.model import Model
from sensorium.tasks.inherit import recipe_of


class PreviousRun(NamedTuple):
    """What is left of an old run's table: the records of the split `name`, which was scored, and those learned from."""

    name: str
    scored: Table
    learned: Table


class FilteredRecords(NamedTuple):
    """New records without those of the old test; bool [N], which of them were learned from before; and the old run."""

    table: Table
    ids: dict[str, np.ndarray]
    seen: np.ndarray | None
    previous: PreviousRun | None


def load_previous_records(recipe: Recipe, schema: Schema, console: Console) -> PreviousRun | None:
    """The table of the run in `start_from`, whose schema is `schema`, split as it was: found by the keys in
    scores.parquet.

    None, and a sentence printed, when the old table is not there or has changed. Raises UserError when it was named
    with --old-table.
    """
    run, old = Path(recipe.start_from), recipe_of(recipe.start_from)
    path = recipe.old_table or old.data.path
    try:
        if path is None:
            raise UserError(
                f"No recipe names the file of the records that {run} learned from; name it with --old-table."
            )
        return _split_as_before(read(path, schema=schema), run, "validation" if _holds_none(old) else "test")
    except UserError as error:
        if recipe.old_table is not None:
            raise
        console.print(f"What is forgotten will not be measured. {error}")
        return None


def _holds_none(recipe: Recipe) -> bool:
    return recipe.data.test is None and recipe.data.split is None


def _split_as_before(table: Table, run: Path, name: str) -> PreviousRun:
    try:
        scores = pa.parquet.read_table(run / "scores.parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{run / 'scores.parquet'} cannot be read, which says what {run} was tested on; bring a whole copy."
        ) from error
    scored = scored_records(table, scores)
    if scored is None:
        raise UserError(
            f"{table.source} is not the table that {run} learned from, or has changed since;"
            " name that with --old-table."
        )
    return PreviousRun(name, scored, table.take(~np.isin(table.rows, scored.rows)))


def scored_records(table: Table, scores: pa.Table) -> Table | None:
    """The records of `table` that a run's `scores` are of, in their order; None when keys or truths differ, so that the
    scores are of another table.
    """
    targeted = "coalition" in scores.column_names  # else these are ranks, one for each direction
    if targeted:
        scores = scores.filter(pa.compute.equal(scores["coalition"], "all"))
    keys = scores["key"].to_pylist()
    scored = table.take(np.isin(np.array(table.keys), np.array(keys)))
    if not targeted:
        return scored if len(scored) else None
    return scored if scored.keys == keys and _same_truths(scored, scores) else None


def _same_truths(table: Table, scores: pa.Table) -> bool:
    """Whether the targets of `table` are those that `scores`, a row a record, has."""
    for spec in table.schema.targets:
        if spec.name not in scores.column_names:
            continue
        truths, _ = TARGETS[spec.kind].convert(objects(scores[spec.name].to_pylist()))
        cells = table.cells(spec.name, spec.kind)
        if np.issubdtype(cells.dtype, np.floating):
            if not np.allclose(truths, cells, rtol=1e-5, equal_nan=True):
                return False
        elif [_unordered(truth) for truth in truths] != [_unordered(cell) for cell in cells]:
            return False
    return True


def _unordered(value: str | list[str] | None) -> str | frozenset[str] | None:
    return frozenset(value) if isinstance(value, list) else value


def drop_previous_test(
    table: Table, ids: dict[str, np.ndarray], recipe: Recipe, schema: Schema, console: Console
) -> FilteredRecords:
    """The new records by what the run that they go on from, whose schema is `schema`, knows of them.

    One that equals a record of the old test, in every input and target, is left out, so that the old test stays unseen.
    One that equals another old record is marked, so that it is learned from and never held out.
    ids: by input, int64 [N].
    """
    previous = load_previous_records(recipe, schema, console)
    if previous is None:
        return FilteredRecords(table, ids, None, None)
    new, scored, learned = _hash_records(table, ids), _hash_records(previous.scored), _hash_records(previous.learned)
    keep = ~(np.isin(new, scored) & (new != 0))
    seen = (np.isin(new, learned) & (new != 0))[keep]
    if seen.all():
        raise UserError(
            f"Every record of {table.source} was in the table that {recipe.start_from} learned from; bring new ones."
        )
    unseen = table.take(keep)
    for sentence in _overlap_sentences(len(table), unseen, seen, previous):
        console.print(sentence)
    return FilteredRecords(unseen, {name: values[keep] for name, values in ids.items()}, seen, previous)


def _overlap_sentences(count: int, unseen: Table, seen: np.ndarray, previous: PreviousRun) -> Iterator[str]:
    """What the old run knew of `count` new records, of which `unseen` are not of its test; seen: bool [unseen]."""
    if len(unseen) < count:
        yield (
            f"{count - len(unseen)} of the {count} records stood in the old {previous.name} part"
            " and will not be learned from."
        )
    if seen.any():
        yield f"Learned from before, so learned from again and not held out: {counted(int(seen.sum()), 'record')}."
    groups = [table.groups for table in (unseen.take(~seen), previous.scored, previous.learned)]
    if all(values is not None for values in groups):
        shared = sorted(set(groups[0]) & ({*groups[1]} | {*groups[2]}))
        if shared:
            yield (
                f"Groups of '{unseen.schema.group}' that have new records were in the old table too ({len(shared)},"
                f" such as '{shared[0]}'), so scores may flatter the model."
            )


def _hash_records(table: Table, ids: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """uint64 [N]: a hash of what each record has for every input and target; 0 of one without any input."""
    ids = content_ids(table) if ids is None else ids
    # Of inputs that read one column, such as a film and its sound, the first knows the content.
    first = {tuple(spec.columns): spec.name for spec in reversed(table.schema.inputs)}
    columns = {f"input {name}": ids[name] for name in sorted(first.values())}
    for spec in table.schema.targets:
        cells = table.cells(spec.name, spec.kind)
        columns[f"target {spec.name}"] = [str(sorted(cell)) if isinstance(cell, list) else cell for cell in cells]
    hashed = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy(np.uint64)
    has_input = np.logical_or.reduce([ids[name] != 0 for name in first.values()])
    return np.where(has_input, hashed, np.uint64(0))


def measure_forgetting(
    previous: PreviousRun, old: Model, model: Model, seed: int, console: Console
) -> Forgetting | None:
    """What `model` has lost since it was `old`; None, and a sentence printed, when it cannot be told."""
    try:
        return forgetting(old, model, previous.scored, previous.name, seed)
    except UserError as error:
        console.print(f"What is forgotten cannot be measured. {error}")
        return None
