"""What a few records find once their inputs are aligned: for a person to look at."""

import numpy as np
from rich.table import Table as Printed

from sensorium.console import shorten
from sensorium.model import Model
from sensorium.tasks.splits import Split

AMONG = 200  # records that are searched


def sample_retrievals(model: Model, part: Split, pair: tuple[str, str]) -> Printed:
    """For five records of `part` that have both inputs of `pair` what one input finds among 200 of the other, and the
    rank of its own. A text searches, where there is one.
    """
    kinds = {spec.name: spec for spec in part.table.schema.inputs}
    a, b = sorted(pair, key=lambda name: kinds[name].modality != "text")
    rows = np.flatnonzero((part.ids[a] != 0) & (part.ids[b] != 0))[:AMONG]
    some = part.table.take(rows)
    scores = model.embed(some.take(np.arange(len(rows))[:5]), a) @ model.embed(some, b).T  # [5, rows]
    printed = Printed(a, f"finds {b}", f"its own {b}", "rank", title="Five searches", title_justify="left")
    for index, score in enumerate(scores):
        rank = 1 + int((score > score[index]).sum())
        cells = [(a, index), (b, int(score.argmax())), (b, index)]
        shown = [shorten(some.frame[kinds[name].columns[0]].iloc[place]) for name, place in cells]
        printed.add_row(*(cell.replace("[", "\\[") for cell in shown), f"{rank} of {len(rows)}")
    return printed
