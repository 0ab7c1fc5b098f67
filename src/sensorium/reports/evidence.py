"""What a report is made of."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sensorium.data.schema import Schema
from sensorium.data.table import Table
from sensorium.evaluation.costs import Costs
from sensorium.evaluation.robustness import Curve
from sensorium.evaluation.saved_scores import SavedScores


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run; the report leaves out what is None. figures: what metrics.json holds. ranks: of
    retrieval, what scores.parquet holds. recipe: nested settings. log: one row an epoch. records: the scored ones, in
    the order of the scores. left_out: sentences, why something is missing. folder: as the user names it. date: when
    the figures were written."""

    name: str
    folder: str
    date: str
    figures: dict[str, Any]
    scores: SavedScores | None = None
    ranks: pd.DataFrame | None = None
    recipe: dict[str, Any] | None = None
    schema: Schema | None = None
    log: pd.DataFrame | None = None
    records: Table | None = None
    costs: Costs | None = None
    curves: list[Curve] | None = None
    left_out: list[str] = field(default_factory=list)
