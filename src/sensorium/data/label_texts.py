"""The labels of classes as texts of records."""

import numpy as np
import pandas as pd

from sensorium.data.table import Table


def label_texts(table: Table, name: str) -> Table:
    """The records with the labels of their classes, the first target, as the only input `name`: absent where the class
    is. Each is keyed by its label, so that a label is augmented in one way wherever it stands."""
    [spec, *_] = table.schema.targets
    labels = table.cells(spec.name, spec.kind)
    schema = table.schema.model_copy(update={"targets": [], "group": None, "key": name})
    return Table(pd.DataFrame({name: labels}), schema, table.root, table.rows, table.source)


def with_label_texts(table: Table, names: list[str]) -> Table:
    """The records, and after them one for each that has a class, whose inputs `names` are the label and nothing else:
    what a tokenizer learns from that has to read both."""
    if not table.schema.targets:
        return table
    labels = pd.concat([label_texts(table, name).frame for name in names], axis=1).dropna()
    frame = pd.concat([table.frame, labels], ignore_index=True)
    rows = np.concatenate([table.rows, table.rows[labels.index]])
    return Table(frame, table.schema, table.root, rows, table.source, table.shards)
