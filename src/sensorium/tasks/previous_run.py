"""What a trained run has learned from and was tested on, so that a run that goes on keeps the two apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from sensorium.build.continual import recipe_of
from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.scan import content_ids
from sensorium.data.table import Table, read
from sensorium.errors import UserError, counted
from sensorium.evaluation.forgetting import Forgetting, forgetting
from sensorium.model import Model, load


class PreviousRun(NamedTuple):
    """What is left of an old run's table: the records of the `part` that was scored, and those it learned from."""

    part: str
    held: Table
    learned: Table


class FilteredRecords(NamedTuple):
    """New records without those of the old test; bool [N], which of them were learned from before; and the memory."""

    table: Table
    ids: dict[str, np.ndarray]
    seen: np.ndarray | None
    memory: PreviousRun | None


def load_previous_records(recipe: Recipe, console: Console) -> PreviousRun | None:
    """The old table in its parts, found again by the keys in scores.parquet.

    None, and a sentence printed, when the old table is not there or has changed. Raises UserError when it was named
    with --old-table.
    """
    run, old = Path(recipe.start_from), recipe_of(recipe.start_from)
    path = recipe.old_table or old.data.path
    try:
        if path is None:
            raise UserError(
                f"The records that {run} learned from were given in Python; name their file with --old-table."
            )
        return _parts(read(path, schema=load(run).schema), run, "validation" if _holds_none(old) else "test")
    except UserError as error:
        if recipe.old_table is not None:
            raise
        console.print(f"What is forgotten will not be measured. {error}")
        return None


def _holds_none(recipe: Recipe) -> bool:
    return recipe.data.test is None and recipe.data.split is None


def _parts(table: Table, run: Path, part: str) -> PreviousRun:
    try:
        scores = pa.parquet.read_table(run / "scores.parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{run / 'scores.parquet'} cannot be read, which says what {run} was tested on; bring a whole copy."
        ) from error
    scores = scores.filter(pa.compute.equal(scores["coalition"], "all"))
    held = np.isin(np.array(table.keys), scores["key"].to_numpy())
    memory = PreviousRun(part, table.take(held), table.take(~held))
    if memory.held.keys != scores["key"].to_pylist() or not same_truths(memory.held, scores):
        raise UserError(
            f"{table.source} is not the table that {run} learned from, or has changed since;"
            " name that with --old-table."
        )
    return memory


def same_truths(table: Table, scores: pa.Table) -> bool:
    """Whether the targets of `table` are those that `scores`, a row a record, has."""
    for spec in table.schema.targets:
        if spec.name not in scores.column_names:
            continue
        true, cells = scores[spec.name].to_pylist(), table.cells(spec.name, spec.kind)
        if spec.kind == "number":
            if not np.allclose(np.array(true, dtype=float), cells, rtol=1e-5, equal_nan=True):
                return False
        elif [_known(one) for one in true] != [_known(one) for one in cells]:
            return False
    return True


def _known(value: str | list[str] | None) -> str | frozenset[str] | None:
    return frozenset(value) if isinstance(value, list) else value


def drop_previous_test(table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console) -> FilteredRecords:
    """The new records by what the run that they go on from knows of them.

    One that equals a record of the old test, in every input and target, is left out, so that the old test stays unseen.
    One that equals another old record is marked, so that it is learned from and never held out.
    ids: by input, int64 [N].
    """
    memory = None if recipe.start_from is None else load_previous_records(recipe, console)
    if memory is None:
        return FilteredRecords(table, ids, None, None)
    new, held, learned = _hashes(table, ids), _hashes(memory.held), _hashes(memory.learned)
    keep = ~(np.isin(new, held) & (new != 0))
    seen = (np.isin(new, learned) & (new != 0))[keep]
    if seen.all():
        raise UserError(
            f"Every record of {table.source} was in the table that {recipe.start_from} learned from; bring new ones."
        )
    kept = table.take(keep)
    for sentence in _findings(len(table), kept, seen, memory):
        console.print(sentence)
    return FilteredRecords(kept, {name: values[keep] for name, values in ids.items()}, seen, memory)


def _findings(given: int, kept: Table, seen: np.ndarray, memory: PreviousRun) -> Iterator[str]:
    """What of the `given` new records, of which some are `kept`, the old run knew; `seen`: bool [kept]."""
    if len(kept) < given:
        yield (
            f"{given - len(kept)} of the {given} records stood in the old {memory.part} part"
            " and will not be learned from."
        )
    if seen.any():
        yield f"Learned from before, so learned from again and not held out: {counted(int(seen.sum()), 'record')}."
    groups = [one.groups for one in (kept.take(~seen), memory.held, memory.learned)]
    if all(one is not None for one in groups):
        shared = sorted(set(groups[0]) & ({*groups[1]} | {*groups[2]}))
        if shared:
            yield (
                f"Groups of '{kept.schema.group}' that have new records were in the old table too ({len(shared)},"
                f" such as '{shared[0]}'), so scores may flatter the model."
            )


def _hashes(table: Table, ids: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """uint64 [N]: a hash of what each record has for every input and target; 0 of one without any input."""
    ids = content_ids(table) if ids is None else ids
    # Of inputs that read one column, such as a film and its sound, the first knows the content.
    first = {tuple(spec.columns): spec.name for spec in reversed(table.schema.inputs)}
    columns = {f"input {name}": ids[name] for name in sorted(first.values())}
    for spec in table.schema.targets:
        cells = table.cells(spec.name, spec.kind)
        columns[f"target {spec.name}"] = [str(sorted(one)) if isinstance(one, list) else one for one in cells]
    hashed = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy(np.uint64)
    some = np.logical_or.reduce([ids[name] != 0 for name in first.values()])
    return np.where(some, hashed, np.uint64(0))


def measure_forgetting(memory: PreviousRun, recipe: Recipe, model: Model, console: Console) -> Forgetting | None:
    """What `model` has lost since it was that of the old run; None, and a sentence printed, when it cannot be told."""
    before = load(recipe.start_from).to(model.device)
    try:
        return forgetting(before, model, memory.held, memory.part, recipe.seed)
    except UserError as error:
        console.print(f"What is forgotten cannot be measured. {error}")
        return None
