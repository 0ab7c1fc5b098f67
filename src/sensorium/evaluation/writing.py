"""Texts that a model writes for a sample of the scored records, with all inputs and without each: writing is slow."""

import time

import numpy as np
import torch

from sensorium.data.columns.parse import is_missing
from sensorium.data.table import Table
from sensorium.evaluation.coalitions import Coalition, without
from sensorium.features import Features
from sensorium.metrics import Columns
from sensorium.model import Model, loss_scored_targets

MOST_RECORDS = 500
MOST_SECONDS = 120.0
FIRST, AT_ONCE = 4, 32  # records at a time: the first say how long others take


class Writing:
    """What is written of N records, filled while they are scored. rows: int64, those of the sample, at most
    MOST_RECORDS, evenly over the records that have a target which is written; of those ahead fewer, evenly too, when
    all would take longer than MOST_SECONDS.
    """

    def __init__(self, model: Model, table: Table, inputs: Coalition):
        by_loss = loss_scored_targets(model)
        self.targets = [name for name in by_loss if getattr(model.heads[name], "writes", False)]
        specs = [spec for spec in table.schema.targets if spec.name in self.targets]
        present = [~is_missing(table.cells(spec.name, spec.kind)) for spec in specs]
        with_target = np.flatnonzero(np.logical_or.reduce(present)) if present else np.zeros(0, dtype=np.int64)
        self.rows = with_target[
            np.linspace(0, len(with_target) - 1, min(MOST_RECORDS, len(with_target))).round().astype(np.int64)
        ]
        self.coalitions = list(dict.fromkeys([inputs, *(without(inputs, name) for name in inputs)]))
        self.seconds, self.count = 0.0, 0
        self._texts: dict[tuple[Coalition, str], Columns] = {
            (coalition, name): {
                "decision": np.full(len(table), None, dtype=object),
                "probability": np.full(len(table), np.nan),
                "finished": np.zeros(len(table), dtype=bool),
            }
            for coalition in self.coalitions
            for name in self.targets
        }

    def add(self, model: Model, features: dict[str, Features], keys: list[str], first: int) -> None:
        """Writes for the sample's rows among the records from row `first` on, whose features and keys are given."""
        rows = self.rows[(self.rows >= first) & (self.rows < first + len(keys))] - first
        while len(rows):
            chunk = rows[: AT_ONCE if self.count else FIRST]
            began = time.perf_counter()
            self._write(model, features, keys, chunk, first)
            self.seconds += time.perf_counter() - began
            self.count += len(chunk)
            self._thin(first + chunk[-1])
            rows = self.rows[(self.rows > first + chunk[-1]) & (self.rows < first + len(keys))] - first

    def _thin(self, last: int) -> None:
        """Keeps of the rows after `last` as many, evenly, as the time that is left allows."""
        ahead = np.flatnonzero(self.rows > last)
        fitting = int(max(0.0, MOST_SECONDS - self.seconds) * self.count / max(self.seconds, 1e-9))
        if fitting < len(ahead):
            kept = ahead[np.linspace(0, len(ahead) - 1, fitting).round().astype(np.int64)]
            self.rows = np.concatenate([self.rows[self.rows <= last], self.rows[kept]])

    def _write(
        self, model: Model, features: dict[str, Features], keys: list[str], rows: np.ndarray, first: int
    ) -> None:
        index = torch.from_numpy(rows).to(model.device)
        picked = {view: encoded.take(index) for view, encoded in features.items()}
        for coalition in self.coalitions:
            visible = {
                view: encoded.where(torch.full_like(encoded.present, model.input_of(view) in coalition))
                for view, encoded in picked.items()
            }
            fused = model.fuse(visible)
            for name in self.targets:
                written = model.heads[name].predict(fused, keys=[keys[row] for row in rows])
                texts = self._texts[coalition, name]
                for row, decoded in zip(rows + first, model.heads[name].decode(written, []), strict=True):
                    texts["decision"][row] = decoded["decision"]
                    texts["probability"][row] = decoded["probability"]
                texts["finished"][rows + first] = written["finished"][:, 0].cpu().numpy()

    def columns(self, coalition: Coalition, target: str) -> Columns:
        """What was written of a target with these inputs: `decision` object [N], None where it was not, `probability`
        float [N] and `finished` bool [N]; {} where nothing was.
        """
        return self._texts.get((coalition, target), {})
