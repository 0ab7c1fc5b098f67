"""The cells of a target in the forms that the findings compare: labels by record, numbers, whole cells."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.data.targets.places import Place


class TargetCells(NamedTuple):
    """A target of N records.

    numbers:        float64 [N] of a target that is measured, else None.
    cells:          object [N], the whole cell as one string, its labels in order between bars; None where absent.
    codes:          int64 [M], each label of each record, by its place in `labels`; `positions` the records, int64 [M].
    single_label:   whether every record that has the target has one label.
    repeats_inputs: whether several records usually ask about one picture, and may be answered in several ways."""

    name: str
    labels: list[str]
    numbers: np.ndarray | None
    cells: np.ndarray
    codes: np.ndarray
    positions: np.ndarray
    single_label: bool
    repeats_inputs: bool

    @property
    def counts(self) -> np.ndarray:
        """int64 [labels]: how many records have each label."""
        return np.bincount(self.codes, minlength=len(self.labels))

    def take(self, keep: np.ndarray) -> "TargetCells":
        """The target of the records `keep`, bool [N]."""
        labelled = keep[self.positions]
        positions = (np.cumsum(keep) - 1)[self.positions[labelled]]
        values = None if self.numbers is None else self.numbers[keep]
        return self._replace(
            numbers=values, cells=self.cells[keep], codes=self.codes[labelled], positions=positions
        )  # fmt: skip


def _label(entry: str | Place) -> str:
    return entry.label if isinstance(entry, Place) else entry


def target_cells(table: Table, spec: TargetSpec) -> TargetCells:
    """The cells of the target `spec`, all of which can be read."""
    kind, converted = TARGETS[spec.kind], table.cells(spec.name, spec.kind)
    present = np.flatnonzero(~is_missing(converted))
    measured = None if converted.dtype == object else converted
    parsed = [str(cell) for cell in converted[present]] if measured is not None else list(converted[present])
    names = [[cell] if isinstance(cell, str) else list(dict.fromkeys(map(_label, cell or ()))) for cell in parsed]
    cells = np.full(len(converted), None, dtype=object)
    cells[present] = ["|".join(sorted(labels)) for labels in names]
    codes = pd.Index(spec.labels, dtype=object).get_indexer([name for several in names for name in several])
    return TargetCells(
        name=spec.name, labels=spec.labels, numbers=measured, cells=cells,
        codes=codes, positions=np.repeat(present, [len(labels) for labels in names]),
        single_label=all(isinstance(cell, str) for cell in parsed), repeats_inputs=kind.repeats_inputs,
    )  # fmt: skip
