"""scores.parquet read back: truths, predictions and losses of the records, for every set of inputs that was kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.data.columns.parse import objects
from sensorium.data.targets.answer_text import encode_answers
from sensorium.metrics import Columns


@dataclass(frozen=True)
class SavedTarget:
    """A target as its columns tell: name, kind ("class", "labels", "number" or "answer") and labels."""

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
        by_coalition = {str(name): part.reset_index(drop=True) for name, part in frame.groupby("coalition", sort=False)}
        targets = []
        for name, metrics in figures["targets"].items():
            labels = list(figures["classes"].get(name, ()))
            kind = "labels" if "hamming_loss" in metrics else "class" if labels else "number"
            if "vqa_accuracy" in metrics:
                kind, labels = "answer", sorted(set(frame[f"{name}_decision"]))
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
        return next(one for one in self.targets if one.name == name)

    def known(self, target: SavedTarget) -> np.ndarray:
        """bool [N]: who has the target."""
        return self.by_coalition["all"][target.name].notna().to_numpy()

    def truth(self, target: SavedTarget) -> Columns:
        """The truths of the records that have the target, as the metrics take them."""
        values = self.by_coalition["all"][target.name][self.known(target)]
        if target.kind == "answer":
            return encode_answers(objects([list(one) for one in values]), target.labels)
        key = {"class": "label", "labels": "labels", "number": "value"}[target.kind]
        return {key: _numbers(values, target)}

    def prediction(self, target: SavedTarget, coalition: str = "all") -> Columns:
        """What was predicted of the same records with these inputs."""
        frame = self.by_coalition[coalition][self.known(target)]
        columns = {"decision": _numbers(frame[f"{target.name}_decision"], target)}
        if target.kind == "answer":
            columns["probability"] = frame[f"{target.name}_probability"].to_numpy(np.float64)
        elif target.kind != "number":
            names = [f"{target.name}_probability_{label}" for label in target.labels]
            columns["probabilities"] = frame[names].to_numpy(np.float64)
        return columns

    def loss(self, target: SavedTarget, coalition: str = "all") -> np.ndarray:
        """float64 [M]: the loss of each record that has the target."""
        return self.by_coalition[coalition][f"{target.name}_loss"][self.known(target)].to_numpy(np.float64)


def _numbers(values: pd.Series, target: SavedTarget) -> np.ndarray:
    """Decisions or truths as the metrics take them: int [M], bool [M, K] or float [M]."""
    if target.kind == "number":
        return values.to_numpy(np.float64)
    place = {label: index for index, label in enumerate(target.labels)}
    if target.kind in ("class", "answer"):
        return values.map(place).to_numpy(np.int64)
    marks = np.zeros((len(values), len(place)), dtype=bool)
    for row, labels in enumerate(values):
        marks[row, [place[label] for label in labels]] = True
    return marks
