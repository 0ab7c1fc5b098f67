"""A few predictions or searches of a trained model, for a person to look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table as Printed

from sensorium.console import shorten
from sensorium.data.columns.parse import is_missing
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.model import Model

SHOWN = 5  # records
AMONG = 200  # records that are searched


def sample_predictions(model: Model, table: Table) -> list[str]:
    """A line for each of a few predictions of the first target: two that are right, two that are wrong, and the least
    sure; of a target that is near or far, not right, the first five.
    """
    spec = next((spec for spec in table.schema.targets if spec.name in table.frame.columns), None)
    if spec is None:
        return []
    few = TARGETS[spec.kind].scored_by == "loss"  # what is written or drawn takes time
    records = table.take(np.flatnonzero(~is_missing(table.cells(spec.name, spec.kind)))[: SHOWN if few else AMONG])
    predictions, cells = model.predict_records(records), records.cells(spec.name, spec.kind)
    right: list[bool | None] = []
    for predicted, truth in zip(predictions, cells, strict=True):
        right.append(TARGET_COLUMNS[spec.kind].matches(predicted[spec.name]["decision"], truth))
    sure = [max(predicted[spec.name].get("probabilities", {"": 1.0}).values()) for predicted in predictions]
    chosen = dict.fromkeys(range(min(SHOWN, len(records))), "")
    if None not in right:
        chosen = dict.fromkeys([row for row, is_right in enumerate(right) if is_right][:2], "right")
        chosen |= dict.fromkeys([row for row, is_right in enumerate(right) if not is_right][:2], "wrong")
        unsure = min((row for row in range(len(records)) if row not in chosen), key=sure.__getitem__, default=None)
        chosen |= {} if unsure is None else {unsure: "unsure"}
    lines = [f"Some predictions of {spec.name}:"]
    kind = TARGET_COLUMNS[spec.kind]
    for row, verdict in chosen.items():
        decided = kind.cell(predictions[row][spec.name])
        cell = records.frame[spec.name].iloc[row]
        spelled = kind.cell({"decision": cells[row]}) if hasattr(kind, "spelled") else shorten(cell)
        truth = "" if verdict == "right" else f"; it is {spelled}"
        lines.append(f"  {verdict:<6}  {records.keys[row]}: {_example(records, row)} → {decided}{truth}")
    return lines


def _example(records: Table, row: int) -> str:
    """What a person knows a record by: its first text, else the first of its other inputs."""
    ordered = sorted(records.schema.inputs, key=lambda spec: spec.modality != "text")
    cells = (records.frame[spec.columns[0]].iloc[row] for spec in ordered if spec.columns[0] in records.frame.columns)
    return next((text for text in map(shorten, cells) if text), "no input")


def sample_retrievals(model: Model, table: Table, ids: Mapping[str, np.ndarray], pair: tuple[str, str]) -> Printed:
    """For five records of `table` that have both inputs of `pair` what one input finds among 200 of the other, and the
    rank of its own. A text searches, where there is one. ids: by input, int64 [N], 0 where it is absent.
    """
    specs = {spec.name: spec for spec in table.schema.inputs}
    query, target = sorted(pair, key=lambda name: name not in table.schema.inputs_of("text"))
    rows = np.flatnonzero((ids[query] != 0) & (ids[target] != 0))[:AMONG]
    records = table.take(rows)
    scores = (
        model.embed(records.take(np.arange(len(rows))[:SHOWN]), query) @ model.embed(records, target).T
    )  # [5, rows]
    headers = (query, f"finds {target}", f"its own {target}", "rank")
    printed = Printed(*headers, title="Five searches", title_justify="left")

    def cell(name: str, row: int) -> Any:
        return shorten(records.frame[specs[name].columns[0]].iloc[row])

    for row, score in enumerate(scores):
        rank = 1 + int((score > score[row]).sum())
        cells = cell(query, row), cell(target, int(score.argmax())), cell(target, row)
        printed.add_row(*cells, f"{rank} of {len(rows)}")
    return printed
