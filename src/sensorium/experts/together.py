"""The experts of a model: what they read beside the inputs' features, and their scores as tokens of the fused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import nn

from sensorium.data.records import Processor, Records
from sensorium.experts.base import Expert, present_rows
from sensorium.experts.kinds import EXPERT_KINDS
from sensorium.experts.views import VIEW_PROCESSORS, WORDS, Columns, Source, columns_of, with_views
from sensorium.features import Features


class Named(NamedTuple):
    """An expert, its name among EXPERTS, and the target that it decides on."""

    name: str
    target: str
    expert: Expert


class Experts(nn.Module):
    """Adds to the fused features one token for each expert: its scores, for its target's head.

    processors: by name of a view, as `input/words`, what makes tensors of the input's values. No gradient goes through
    an expert. Scores are computed in float64 on the CPU, record by record alike.
    """

    def __init__(self, experts: list[Named], processors: dict[str, Processor]):
        super().__init__()
        self.experts, self.processors = experts, processors

    def viewed(self, records: Records) -> Records:
        """`records` with the views that the experts read, beside their inputs."""
        return with_views(records, self.processors)

    def forward(self, fused: Features, features: Mapping[str, Features]) -> Features:
        """The fused features [B, T, D] with a token for each of E experts: [B, T + E, D'], D' wide enough for all."""
        columns = self.columns(features, len(fused.mask))
        raw, tokens, masks = [], [], []
        for _, _, expert in self.experts:
            present = present_rows(expert.config, columns)
            outputs = np.where(present[:, None], expert.raw(columns, raw), np.nan)
            raw.append(outputs)
            scores = EXPERT_KINDS[expert.config.kind].scores(np.nan_to_num(outputs), expert.config.spread)
            tokens.append(np.where(present[:, None], scores, 0.0))
            masks.append(present)
        width = max([fused.tokens.shape[2], *(scores.shape[1] for scores in tokens)])
        padded = [np.pad(scores, ((0, 0), (0, width - scores.shape[1]))) for scores in tokens]
        like = fused.tokens
        added = torch.from_numpy(np.stack(padded, axis=1)).to(like.device, like.dtype)  # [B, E, D']
        mask = torch.from_numpy(np.stack(masks, axis=1)).to(like.device)  # [B, E]
        network = nn.functional.pad(like, (0, width - like.shape[2]))
        return Features(torch.cat([network, added], dim=1), torch.cat([fused.mask, mask], dim=1), fused.pooled)

    def columns(self, features: Mapping[str, Features], count: int) -> dict[str, Columns]:
        """What the experts read of a batch of `count` records; a view that is not there is absent."""
        sources = dict.fromkeys(source for _, _, expert in self.experts for source in expert.config.sources)
        return {source.name: self.column(source, features.get(source.name), count) for source in sources}

    def column(self, source: Source, features: Features | None, count: int) -> Columns:
        """What a source says of a batch of `count` records, of its features; None: it is not there."""
        vocabulary = len(self.processors[source.name].vocabulary) if source.view == WORDS else 0
        if features is not None:
            return columns_of(source, features, vocabulary)
        absent = np.zeros(count, dtype=bool)
        if source.view == WORDS:
            return Columns(csr_array((count, vocabulary)), absent)
        processor = self.processors[source.name]
        return Columns(np.full((count, len(processor.numbers) + len(processor.categories)), np.nan), absent)

    def save(self, folder: Path) -> dict[str, Any]:
        """Writes what was learned into `folder`; gives what `load` needs beside it."""
        for number, (_, _, expert) in enumerate(self.experts):
            (folder / str(number)).mkdir(parents=True)
            expert.save(folder / str(number))
        for number, processor in enumerate(self.processors.values()):
            (folder / f"view-{number}").mkdir(parents=True)
            processor.save(folder / f"view-{number}")
        listed = [
            {"name": name, "target": target, "config": expert.config.model_dump(mode="json")}
            for name, target, expert in self.experts
        ]
        return {"experts": listed, "views": list(self.processors)}

    @classmethod
    def load(cls, described: dict[str, Any], known: dict[str, type[Expert]], folder: Path) -> "Experts":
        """The experts that `save` wrote into `folder`; known: the classes by name."""
        experts = []
        for number, entry in enumerate(described["experts"]):
            expert_class = known[entry["name"]]
            config = expert_class.Config(**entry["config"])
            expert = expert_class.load(config, folder / str(number))
            experts.append(Named(entry["name"], entry["target"], expert))
        processors = {
            name: VIEW_PROCESSORS[name.rsplit("/", 1)[1]].load(folder / f"view-{number}")
            for number, name in enumerate(described["views"])
        }
        return cls(experts, processors)
