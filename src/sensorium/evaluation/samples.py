"""scores.parquet: what the model said of every record, with all inputs and with some taken away."""

import numpy as np
import pyarrow as pa

from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.evaluation.coalitions import Coalition, without
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.evaluation.scoring import Scores
from sensorium.metrics import Columns, sample_loss


def samples(scores: Scores, table: Table, targets: list[TargetSpec], inputs: Coalition) -> pa.Table:
    """One row a record of `table` and coalition, with the columns

    key, group (null without groups), coalition, and for each target `<target>` (the truth, null where unknown),
    `<target>_decision`, `<target>_probability_<label>` and `<target>_loss` (null where the truth is unknown). The truth
    of an answer is the list of what each annotator said, normalised; its probability is `<target>_probability`.
    coalition: "all", "none" (the training prior), "only NAME", "without NAME". Sets that are one and the same (of two
    inputs, only the one is without the other) stand once, under the first of these names.
    """
    names = {inputs: "all", (): "none"} | {(name,): f"only {name}" for name in inputs if len(inputs) > 1}
    names |= {remaining: f"without {name}" for name in inputs if (remaining := without(inputs, name)) not in names}
    count, groups = len(scores.keys), table.groups
    cells = {target.name: table.cells(target.name, target.kind) for target in targets}
    tables = []
    for coalition, name in names.items():
        columns = {
            "key": pa.array(scores.keys, pa.string()),
            "group": pa.nulls(count, pa.string()) if groups is None else pa.array(groups, pa.string()),
            "coalition": pa.array([name] * count, pa.string()),
        }
        for target in targets:
            predicted = scores.predictions[coalition][target.name]
            truth, kind = scores.targets[target.name], TARGET_COLUMNS[target.kind]
            columns |= kind.score_columns(target, cells[target.name], truth, predicted)
            columns[f"{target.name}_loss"] = _loss(target, truth, predicted)
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _loss(target: TargetSpec, truth: Columns, prediction: Columns) -> pa.Array:
    """Each record's loss; null where the truth is unknown."""
    has_target = truth["mask"]
    loss = np.full(len(has_target), np.nan)
    loss[has_target] = sample_loss(
        target.kind, *({key: column[has_target] for key, column in side.items()} for side in (truth, prediction))
    )
    return pa.array(loss, pa.float64(), mask=~has_target)
