"""Worlds in which it is known what each input is worth: a table, and a model that decides by a given rule."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sensorium.data.schema import Column, InputSpec, Schema, TargetSpec
from sensorium.data.table import Table
from sensorium.features import Batch, Features

Rule = Callable[[dict[str, Tensor]], Tensor]
"""By input, its number in each row, float [B], 0 where absent -> log odds of the second class, or a number, [B]."""


class Planted(nn.Module):
    """A model of table columns that are one number each. A row without any input gets the prior.

    rules: by target. prior: by target, the probability of the second class, or the mean of a number.
    """

    def __init__(self, schema: Schema, rules: dict[str, Rule], prior: dict[str, float]):
        super().__init__()
        self.schema, self.rules, self.prior = schema, rules, prior
        self.device = torch.device("cpu")
        self.unit = nn.Parameter(torch.ones(1))
        self.encoded = 0

    def read(self, table: Table) -> Table:
        return table

    def batches(self, table: Table, batch_size: int = 64) -> Iterator[Batch]:
        targets = {one.name: table.encode_target(one) for one in self.schema.targets if one.name in table.frame.columns}
        cells = {one.name: _numbers(table, one) for one in self.schema.inputs}
        for start in range(0, len(table), batch_size):
            rows = slice(start, start + batch_size)
            inputs = {
                name: {"mask": ~column[rows, None].isnan(), "value": column[rows, None]}
                for name, column in cells.items()
            }
            known = {name: {key: value[rows] for key, value in one.items()} for name, one in targets.items()}
            yield Batch(inputs, known, {}, table.keys[rows])

    def encode(self, inputs: dict[str, dict[str, Tensor]], ids: object = None) -> dict[str, Features]:
        self.encoded += 1
        return {name: Features.one(one["value"] * self.unit, one["mask"][:, 0]) for name, one in inputs.items()}

    def fuse(self, features: dict[str, Features]) -> Features:
        pooled = torch.cat([one.pooled for one in features.values()], dim=1)  # [B, inputs]
        return Features.one(pooled, torch.stack([one.present for one in features.values()]).any(dim=0))

    def decide(self, fused: Features) -> dict[str, dict[str, Tensor]]:
        numbers = dict(zip([one.name for one in self.schema.inputs], fused.pooled.T, strict=True))
        decided = {}
        for target in self.schema.targets:
            scores, prior = self.rules[target.name](numbers), torch.tensor(self.prior[target.name])
            if target.kind == "number":
                decided[target.name] = {"decision": torch.where(fused.present, scores, prior)}
                continue
            chance = torch.where(fused.present, scores.sigmoid(), prior)
            if target.kind == "class":
                both = torch.stack([1 - chance, chance], dim=1)  # [B, 2]
                decided[target.name] = {"probabilities": both, "decision": both.argmax(dim=1)}
            else:
                both = torch.stack([chance, 1 - chance], dim=1)  # [B, 2]
                decided[target.name] = {"probabilities": both, "decision": both > 0.5}
        return decided


def _numbers(table: Table, spec: InputSpec) -> Tensor:
    """float [N], NaN where absent; of pictures, 1 where there is one."""
    if spec.modality == "table":
        return torch.tensor(table.cells(spec.name, "number")).float()
    return torch.tensor(np.where(table.present(spec), 1.0, np.nan)).float()


def schema(inputs: list[str], kinds: dict[str, str], group: str | None = None) -> Schema:
    """Inputs that are number columns, targets by kind; classes are "no" and "yes", labels "up" and "down"."""
    labels = {"class": ["no", "yes"], "labels": ["up", "down"], "number": []}
    columns = [Column(name=name, kind="number", reason="") for name in inputs]
    columns += [Column(name=name, kind="target", reason="") for name in kinds]
    columns += [Column(name=group, kind="group", reason="")] if group else []
    return Schema(
        columns=columns,
        inputs=[InputSpec(name=name, modality="table", columns=[name]) for name in inputs],
        targets=[TargetSpec(name=name, kind=kind, labels=labels[kind]) for name, kind in kinds.items()],
        group=group,
    )


def table(columns: dict[str, np.ndarray], form: Schema) -> Table:
    frame = pd.DataFrame(columns)
    return Table(frame, form, Path(), np.arange(1, len(frame) + 1))


def world(inputs: dict[str, np.ndarray], yes: np.ndarray, rule: Rule, prior: float = 0.5) -> tuple[Planted, Table]:
    """A model and a table with one class target, "yes" where `yes`, bool [N]."""
    form = schema(list(inputs), {"answer": "class"})
    columns = inputs | {"answer": np.where(yes, "yes", "no").astype(object)}
    return Planted(form, {"answer": rule}, {"answer": prior}), table(columns, form)
