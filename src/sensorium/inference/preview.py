"""A few predictions or searches of a trained model, for a person to look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table as Printed

from sensorium.console import shorten
from sensorium.data.table import Table
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.model import Model

SHOWN = 5  # records
AMONG = 200  # records that are searched


def sample_predictions(model: Model, table: Table) -> Printed:
    """Predictions of the first five records, beside what is true."""
    records = table.take(range(min(SHOWN, len(table))))
    columns = list(dict.fromkeys(name for spec in table.schema.inputs for name in spec.columns))
    printed = Printed("record", *columns, title="Five predictions", title_justify="left")
    for spec in table.schema.targets:
        printed.add_column(spec.name)
        printed.add_column(f"predicted {spec.name}")
    for index, predicted in enumerate(model.predict_records(records)):
        cells = [records.keys[index], *(shorten(records.frame[name].iloc[index]) for name in columns)]
        for spec in table.schema.targets:
            predicted_cell = TARGET_COLUMNS[spec.kind].cell(predicted[spec.name])
            cells += [shorten(records.frame[spec.name].iloc[index]), predicted_cell]
        printed.add_row(*cells)
    return printed


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
