"""How large values are: pictures, sounds, texts and numbers, by their quantiles and a small histogram."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import is_missing, numbers
from sensorium.data.table import Table
from sensorium.inspection.classes import members
from sensorium.inspection.contents import Contents

_BARS = "▁▂▃▄▅▆▇█"
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
        return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] if count else " " for count in self.bins)

    def to_dict(self) -> dict[str, Any]:
        """The measure as JSON has it."""
        return self._asdict()


def sizes(table: Table, contents: dict[str, Contents]) -> list[Size]:
    """Height and width of pictures, rate and length of sounds, words of texts, values of numbers."""
    found = []
    told = {column.name for column in table.schema.columns if column.kind == "number"}
    told |= {target.name for target in table.schema.targets if target.kind == "number"}
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()
        if column.name in contents:
            found += [
                _size(column.name, f"{name} ({_UNITS[name]})" if name in _UNITS else name, measured)
                for name, measured in contents[column.name].measures.items()
                if name != "format"
            ]
        elif column.kind == "text":
            words = pd.Series(values[~is_missing(values)]).astype(str).str.count(r"\S+").to_numpy(float)
            found.append(_size(column.name, "words", words))
        elif column.name in told:
            found.append(_size(column.name, "value", numbers(values)))
    return [one for one in found if one is not None]


def _size(column: str, measure: str, values: np.ndarray) -> Size | None:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, median, high = (float(one) for one in np.quantile(values, [0, 0.5, 1]))
    bins = np.histogram(values, bins=_BINS, range=(low, high) if low < high else None)[0]
    return Size(column, measure, len(values), low, median, high, bins.tolist())


def counts(table: Table) -> dict[str, dict[str, int]]:
    """By class or labels target, how many records each class has, the most frequent first."""
    found = {}
    for target in table.schema.targets:
        if target.kind != "number":
            codes, _ = members(table, target)
            counted = np.bincount(codes, minlength=len(target.labels))
            order = np.argsort(-counted, kind="stable")
            found[target.name] = {target.labels[place]: int(counted[place]) for place in order}
    return found
