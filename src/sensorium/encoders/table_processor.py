"""From a record's numbers and categories to tensors: robust standardisation, quantile edges, known values."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from sensorium.encoders.processor_files import read_settings, write_settings
from sensorium.errors import UserError

FARTHEST = 1e6  # scales from the median; keeps float32 finite whatever the value
RECORDS_A_BIN = 16


class NumberColumn(BaseModel, frozen=True, extra="forbid"):
    """Statistics of a column of numbers. x is read as (x - median) / scale; `edges`, in that unit, ascend."""

    name: str
    median: float
    scale: float = Field(gt=0)
    edges: list[float]


class CategoryColumn(BaseModel, frozen=True, extra="forbid"):
    """A column of categories in training: its values, most frequent first, and how many records had each."""

    name: str
    values: list[str]
    counts: list[int]


class TableAugmentation(BaseModel, frozen=True, extra="forbid"):
    """Which values training hides, so that the model learns to do without them.

    other:  a value that `count` training records have is read as unseen with probability other / (other + count).
    absent: each column is hidden with this probability, though never the last one of a record."""

    other: float = Field(1.0, ge=0)
    absent: float = Field(0.05, ge=0, lt=1)


class TableProcessor:
    """A record's columns → `number` float32 [N], `category` int64 [C], `mask` bool [N + C], in the two lists' order. A
    category is its number in the list of its column's values, from 1; 0 is any value that training did not have."""

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(
        self,
        numbers: list[NumberColumn],
        categories: list[CategoryColumn],
        augmentation: TableAugmentation | None = TableAugmentation(),  # noqa: B008 (frozen)
    ):
        self.numbers, self.categories, self.augmentation = numbers, categories, augmentation
        self._numbers = [{value: i for i, value in enumerate(column.values, start=1)} for column in categories]
        # By column, by number: 0 is 'other' already, so there is nothing to hide.
        self._counts = [[math.inf, *column.counts] for column in categories]

    def __call__(self, value: dict[str, float | str | None] | str, augment: bool = False) -> dict[str, Tensor]:
        """Values by column, None or left out where absent, or the text of the only column → tensors; `augment` draws
        from torch's global state."""
        if isinstance(value, str):
            value = {self.categories[0].name: value}
        number, category, mask = [], [], []
        for column in self.numbers:
            x = value.get(column.name)
            present = x is not None and not math.isnan(x)
            z = (x - column.median) / column.scale if present else 0.0
            number.append(min(max(z, -FARTHEST), FARTHEST))
            mask.append(present)
        for column, numbers in zip(self.categories, self._numbers, strict=True):
            x = value.get(column.name)
            category.append(numbers.get(x, 0))
            mask.append(x is not None)
        item = {
            "number": torch.tensor(number, dtype=torch.float32),
            "category": torch.tensor(category, dtype=torch.long),
            "mask": torch.tensor(mask, dtype=torch.bool),
        }
        return self._hide(item) if augment and self.augmentation is not None else item

    def _hide(self, item: dict[str, Tensor]) -> dict[str, Tensor]:
        category, mask = item["category"], item["mask"]
        if len(category) and self.augmentation.other:
            pairs = zip(self._counts, category.tolist(), strict=True)
            frequency = torch.tensor([counts[number] for counts, number in pairs])
            unseen = torch.rand(len(category)) < self.augmentation.other / (self.augmentation.other + frequency)
            category = category.masked_fill(unseen, 0)
        if self.augmentation.absent:
            visible = mask & (torch.rand(len(mask)) >= self.augmentation.absent)
            mask = visible if visible.any() else mask
        return {"number": item["number"], "category": category, "mask": mask}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch of records, None where all is absent → `number` [B, N], `category` [B, C], `mask` [B, N + C]."""
        absent = self({})
        return {key: torch.stack([(item or absent)[key] for item in items]) for key in absent}

    def save(self, folder: Path) -> None:
        """Writes processor.json into `folder`."""
        columns = {"numbers": self.numbers, "categories": self.categories}
        settings = {name: [column.model_dump() for column in listed] for name, listed in columns.items()}
        write_settings(folder, settings, self.augmentation)

    @classmethod
    def load(cls, folder: Path) -> "TableProcessor":
        """The processor that `save` wrote into `folder`."""
        settings = read_settings(folder, TableAugmentation)
        numbers = [NumberColumn(**column) for column in settings["numbers"]]
        categories = [CategoryColumn(**column) for column in settings["categories"]]
        return cls(numbers, categories, settings["augmentation"])


def describe_columns(
    records: Iterable[dict[str, float | str | None]], bins: int
) -> tuple[list[NumberColumn], list[CategoryColumn]]:
    """Statistics of each column of training records; texts are categories, a column without a value is left out. Raises
    UserError when a column holds numbers and texts, or when no column has a value."""
    columns: dict[str, list[float | str]] = {}
    for record in records:
        for name, value in record.items():
            if value is not None and value == value:  # not a number (NaN) differs from itself
                columns.setdefault(name, []).append(value)
    numbers, categories = [], []
    for name, values in columns.items():
        texts = sum(isinstance(value, str) for value in values)
        if 0 < texts < len(values):
            raise UserError(f"Column '{name}' holds numbers and texts; state its kind as number or category.")
        if texts:
            categories.append(_category(name, values))
        else:
            numbers.append(_number(name, np.array(values, dtype=np.float64), bins))
    if not columns:
        raise UserError("No number or category column has a value in the training records; leave these columns out.")
    return numbers, categories


def _number(name: str, values: np.ndarray, bins: int) -> NumberColumn:
    """values float64 [N] → median, interquartile range (half the range when that is zero), up to bins + 1 quantiles."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    scale = (high - low) or (values.max() - values.min()) / 2 or 1.0
    count = int(np.clip(len(values) // RECORDS_A_BIN, 1, bins))
    edges = np.unique(np.quantile((values - median) / scale, np.linspace(0, 1, count + 1)))
    return NumberColumn(name=name, median=median, scale=scale, edges=edges.tolist() if len(edges) > 1 else [])


def _category(name: str, values: list[str]) -> CategoryColumn:
    """values → those of two records or more, most frequent first; a value of a single record counts as 'other'."""
    repeated = [(-count, value) for value, count in Counter(values).items() if count > 1]
    ordered = sorted(repeated)
    return CategoryColumn(name=name, values=[value for _, value in ordered], counts=[-count for count, _ in ordered])
