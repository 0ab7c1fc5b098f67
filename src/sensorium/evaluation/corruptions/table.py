"""Corrupted cells of a row: numbers that move, categories that change."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions.base import Corruption, plain


def table_corruptions(spec: InputSpec, table: Table) -> list[Corruption]:
    """Numbers moved by so many of their standard deviations; a category changed with a fifth of that chance."""
    spreads, categories = {}, {}
    for name in spec.columns:
        cells = table.cells(name, table.schema.column(name).kind)
        if np.issubdtype(cells.dtype, np.floating):
            spreads[name] = float(np.nan_to_num(np.nanstd(cells)))
        else:
            categories[name] = sorted({str(cell) for cell in cells if not pd.isna(cell)})

    def spoil(row: dict[str, Any], strength: float, generator: np.random.Generator) -> dict[str, Any]:
        """The corrupted row; every cell draws alike at each strength."""
        spoiled = {}
        for name, value in row.items():
            noise, change = generator.standard_normal(), generator.random()
            if value is None:
                spoiled[name] = None
            elif name in spreads:
                spoiled[name] = value + noise * spreads[name] * strength
            elif change < strength / 5:
                spoiled[name] = categories[name][int(change * 1e9) % len(categories[name])]
            else:
                spoiled[name] = value
        return spoiled

    units = ["standard deviations of the number"] if spreads else []
    units += ["a category changes with a fifth of that chance"] if categories else []
    return [Corruption("noise", "; ".join(units), plain(0.25, 0.5, 1, 2, 4), spoil)]
