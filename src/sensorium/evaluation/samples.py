"""scores.parquet: what the model said of every record, with all inputs and with some taken away."""

import numpy as np
import pyarrow as pa

from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.evaluation.coalitions import Coalition, without
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
    names |= {rest: f"without {name}" for name in inputs if (rest := without(inputs, name)) not in names}
    count, groups = len(scores.keys), table.groups
    parts = []
    for coalition, name in names.items():
        columns = {
            "key": pa.array(scores.keys, pa.string()),
            "group": pa.nulls(count, pa.string()) if groups is None else pa.array(groups, pa.string()),
            "coalition": pa.array([name] * count, pa.string()),
        }
        for target in targets:
            predicted = scores.predictions[coalition][target.name]
            if target.kind == "answer":
                columns |= _answers(target, table, scores.targets[target.name], predicted)
            else:
                columns |= _columns(target, scores.targets[target.name], predicted)
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _columns(target: TargetSpec, truth: Columns, prediction: Columns) -> dict[str, pa.Array]:
    known = truth["mask"]
    value = {"class": "label", "labels": "labels", "number": "value"}[target.kind]
    columns = {
        target.name: _spelled(target, truth[value], known),
        f"{target.name}_decision": _spelled(target, prediction["decision"]),
    }
    for place, label in enumerate(target.labels):
        columns[f"{target.name}_probability_{label}"] = pa.array(prediction["probabilities"][:, place], pa.float32())
    return columns | {f"{target.name}_loss": _loss(target, truth, prediction)}


def _answers(target: TargetSpec, table: Table, truth: Columns, prediction: Columns) -> dict[str, pa.Array]:
    decided = np.array(target.labels, dtype=object)[prediction["decision"]]
    return {
        target.name: pa.array(table.cells(target.name, "answer").tolist(), pa.list_(pa.string())),
        f"{target.name}_decision": pa.array(decided, pa.string()),
        f"{target.name}_probability": pa.array(prediction["probability"], pa.float32()),
        f"{target.name}_loss": _loss(target, truth, prediction),
    }


def _loss(target: TargetSpec, truth: Columns, prediction: Columns) -> pa.Array:
    """Each record's loss; null where the truth is unknown."""
    known = truth["mask"]
    loss = np.full(len(known), np.nan)
    loss[known] = sample_loss(
        target.kind, *({key: one[known] for key, one in side.items()} for side in (truth, prediction))
    )
    return pa.array(loss, pa.float64(), mask=~known)


def _spelled(target: TargetSpec, values: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
    """Values [N] or [N, K] as the user wrote them: a label, a list of labels, a number; null where not `known` [N]."""
    hidden = None if known is None else ~known
    if target.kind == "number":
        return pa.array(values.astype(np.float64), pa.float64(), mask=hidden)
    labels = np.array(target.labels, dtype=object)
    if target.kind == "class":
        return pa.array(labels[values if known is None else np.where(known, values, 0)], pa.string(), mask=hidden)
    lists = [list(labels[row]) for row in values.astype(bool)]
    return pa.array(
        lists if known is None else [one if has else None for one, has in zip(lists, known, strict=True)],
        pa.list_(pa.string()),
    )
