"""Targets made tensors."""

from itertools import chain

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sensorium.data.columns.parse import labels
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.answer_text import encode_answers
from sensorium.errors import unknown


def encode(table: Table, target: TargetSpec) -> dict[str, Tensor]:
    """The target of all N records: `mask`, bool [N], False where it is absent, and its value by kind, 0 where absent.

    class: `label` int64 [N]; labels: `labels` float32 [N, K]; number: `value` float32 [N] in the user's units; answer:
    `answers` int64 [N, A], `weight` float32 [N, A] and `annotators` int64 [N], as encode_answers says.

    Raises UserError, naming row, column and label, for a label that the model does not know; an answer may be unknown.
    """
    if target.kind == "number":
        values = table.cells(target.name, "number")
        present = ~np.isnan(values)
        return {"mask": torch.from_numpy(present), "value": torch.from_numpy(np.where(present, values, 0.0)).float()}
    cells = table.cells(target.name, target.kind)
    if target.kind == "answer":
        return {key: torch.from_numpy(one) for key, one in encode_answers(cells, target.labels).items()}
    present = ~pd.isna(cells)
    known = pd.Index(target.labels, dtype=object)
    if target.kind == "class":
        rows, names = np.flatnonzero(present), cells[present]
    else:
        split = [labels(cell) for cell in cells[present]]
        rows = np.repeat(np.flatnonzero(present), [len(one) for one in split])
        names = np.array(list(chain.from_iterable(split)), dtype=object)
    index = known.get_indexer(names)
    strange = np.flatnonzero(index < 0)
    if len(strange):
        error = unknown("label", names[strange[0]], target.labels)
        raise table.mistake(
            int(rows[strange[0]]), target.name, f"{str(error).removesuffix('.')}; mend it, or leave it empty"
        )
    if target.kind == "class":
        encoded = np.zeros(len(table), dtype=np.int64)
        encoded[rows] = index
        return {"mask": torch.from_numpy(present), "label": torch.from_numpy(encoded)}
    encoded = np.zeros((len(table), len(target.labels)), dtype=np.float32)
    encoded[rows, index] = 1
    return {"mask": torch.from_numpy(present), "labels": torch.from_numpy(encoded)}
