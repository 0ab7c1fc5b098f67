"""How large values are: pictures, sounds, texts and numbers, by their quantiles and a small histogram."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import holds_numbers, is_missing, numbers
from sensorium.data.table import Table
from sensorium.inspection.contents import Contents
from sensorium.inspection.targets import TargetCells

_BLOCKS = "▁▂▃▄▅▆▇█"
_BINS = 16
_UNITS = {"height": "pixels", "width": "pixels", "rate": "Hz", "seconds": "s", "frames": "frames"}


class Size(NamedTuple):
    """A measure of a column: what it is, how many records have it, its quantiles, and counts in equal bins."""

    column: str
    measure: str
    records: int
    low: float
    median: float
    high: float
    bins: list[int]

    @property
    def bars(self) -> str:
        """The histogram as one line of blocks; '' when all values are equal."""
        if self.low == self.high:
            return ""
        most = max(self.bins)
        return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] if count else " " for count in self.bins)


def sizes(table: Table, contents: dict[str, Contents]) -> list[Size]:
    """Height and width of pictures, rate and length of sounds, words of texts, values of numbers."""
    measures: list[tuple[str, str, np.ndarray]] = []
    measured = [target.name for target in table.schema.targets if not target.labels]
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()
        if column.name in contents:
            for name, lengths in contents[column.name].measures.items():
                measures.append((column.name, f"{name} ({_UNITS[name]})" if name in _UNITS else name, lengths))
        elif column.kind == "text":
            words = pd.Series(values[~is_missing(values)]).astype(str).str.count(r"\S+").to_numpy(float)
            measures.append((column.name, "words", words))
        elif holds_numbers(column.kind) or column.name in measured:
            measures.append((column.name, "value", numbers(values)))
    present = [(column, measure, values[~np.isnan(values)]) for column, measure, values in measures]
    return [_size(column, measure, values) for column, measure, values in present if len(values)]


def _size(column: str, measure: str, values: np.ndarray) -> Size:
    low, median, high = np.quantile(values, [0, 0.5, 1]).tolist()
    bins = np.histogram(values, bins=_BINS, range=(low, high) if low < high else None)[0]
    return Size(column, measure, len(values), low, median, high, bins.tolist())


def class_counts(target: TargetCells) -> dict[str, int]:
    """How many records each class has, the most frequent first."""
    counts = target.counts
    return {target.labels[code]: int(counts[code]) for code in np.argsort(-counts, kind="stable")}
