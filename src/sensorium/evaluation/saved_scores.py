"""scores.parquet read back: truths, predictions and losses of the records, for every set of inputs that was kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.metrics import METRIC_KINDS, Columns


@dataclass(frozen=True)
class SavedTarget:
    """A target as its columns tell: name, kind and labels."""

    name: str
    kind: str
    labels: list[str]


@dataclass(frozen=True)
class SavedScores:
    """What `samples` wrote. coalitions: "all", "none", "only NAME", "without NAME", as far as they differ."""

    by_coalition: dict[str, pd.DataFrame]
    targets: list[SavedTarget]

    @classmethod
    def of(cls, table: pa.Table, figures: dict[str, Any]) -> "SavedScores":
        """figures: what metrics.json holds of the same evaluation."""
        frame = table.to_pandas()
        by_coalition = {str(name): rows.reset_index(drop=True) for name, rows in frame.groupby("coalition", sort=False)}
        targets = []
        for name, metrics in figures["targets"].items():
            kind = next(kind for kind, metric_kind in METRIC_KINDS.items() if metric_kind.signature in metrics)
            classes = list(figures["classes"].get(name, ()))
            labels = TARGET_COLUMNS[kind].labels_of(classes, frame[f"{name}_decision"])
            targets.append(SavedTarget(name, kind, labels))
        return cls(by_coalition, targets)

    @property
    def keys(self) -> list[str]:
        """Each record's key."""
        return self.by_coalition["all"]["key"].tolist()

    @property
    def groups(self) -> np.ndarray | None:
        """object [N], None without groups."""
        groups = self.by_coalition["all"]["group"]
        return None if groups.isna().all() else groups.to_numpy(dtype=object)

    def target(self, name: str) -> SavedTarget:
        """The target of this name."""
        return next(target for target in self.targets if target.name == name)

    def known(self, target: SavedTarget) -> np.ndarray:
        """bool [N]: who has the target."""
        return self.by_coalition["all"][target.name].notna().to_numpy()

    def truth(self, target: SavedTarget) -> Columns:
        """The truths of the records that have the target, as the metrics take them."""
        values = self.by_coalition["all"][target.name][self.known(target)]
        return TARGET_COLUMNS[target.kind].read_truth(target.labels, values)

    def prediction(self, target: SavedTarget, coalition: str = "all") -> Columns:
        """What was predicted of the same records with these inputs."""
        frame = self.by_coalition[coalition][self.known(target)]
        return TARGET_COLUMNS[target.kind].read_prediction(target.name, target.labels, frame)

    def loss(self, target: SavedTarget, coalition: str = "all") -> np.ndarray:
        """float64 [M]: the loss of each record that has the target."""
        return self.by_coalition[coalition][f"{target.name}_loss"][self.known(target)].to_numpy(np.float64)
