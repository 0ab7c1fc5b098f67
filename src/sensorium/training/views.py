"""Several stored views of a cached input, of which training draws one for each record and epoch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sensorium.data.records import Records
from sensorium.features import Features
from sensorium.training.cache import CacheJob, FeatureCache


class Views:
    """The features of one input of a table, by row, in as many views as there are `caches`; the first view is the input
    without augmentation."""

    def __init__(self, caches: list[FeatureCache]):
        self.caches = caches

    @property
    def views(self) -> int:
        """The number of views of each row."""
        return len(self.caches)

    def take(self, index: np.ndarray) -> "Views":
        """The views of the rows `index`, int64 [M], of this one's."""
        return Views([cache.take(index) for cache in self.caches])

    def read(self, rows: np.ndarray, views: np.ndarray | None = None) -> Features:
        """Features of the rows, int64 [B] from 0, each in its view, int64 [B] from 0; in the first without `views`."""
        if views is None:
            return self.caches[0].read(rows)
        rows_by_view = [np.flatnonzero(views == view) for view in range(self.views)]
        features = [
            cache.read(rows[positions])
            for cache, positions in zip(self.caches, rows_by_view, strict=True)
            if len(positions)
        ]
        back = torch.from_numpy(np.argsort(np.concatenate(rows_by_view)))  # [B]
        return Features.joined(features).take(back)


class ViewsJob:
    """What has to be cached of one input in `views` views; built before it is filled, to know its size first."""

    def __init__(
        self, root: Path, name: str, encoder: nn.Module, records: Records, tokens: bool, precision: str, views: int
    ):
        self.jobs = [CacheJob(root, name, encoder, records, tokens, precision, view) for view in range(views)]

    @property
    def rows(self) -> int:
        """How many times the encoder runs on a record."""
        return sum(len(job.rows) for job in self.jobs)

    def bytes(self) -> int:
        """Size on disk in bytes; with tokens, estimated from the first batch."""
        return len(self.jobs) * self.jobs[0].bytes()

    def fill(self, workers: int, advance: Callable[[int], None] | None = None) -> Views:
        """Fills the views one after another, as `CacheJob.fill` does, and opens them."""
        return Views([job.fill(workers, advance) for job in self.jobs])
