"""The cheap models of one target, each named, and what it predicts: linear ones, boosted trees, frozen features."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.checkpoint import name_of
from sensorium.data.records import EVALUATION_BATCH, Records
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.encoders import ENCODERS
from sensorium.evaluation.baseline_models import BaselineModel, CellSource, TrainingRecords, predict_linear, sources
from sensorium.experts import BoostedTrees, Expert, Linear
from sensorium.experts.base import Material
from sensorium.experts.views import CELLS, FEATURES, Source, columns_of
from sensorium.experts.views import Columns as ReadColumns
from sensorium.metrics import Columns
from sensorium.model import Model

ROUNDS, MOST_TREES, MOST_OUTPUTS = 150, 1_500, 30  # of boosting; rounds times classes or labels; these
MOST_VALUES = 10_000_000  # features of all records learned from
STRENGTH = 1.0  # of the weights on features


class Training(NamedTuple):
    """What cheap models learn from: the `records` that the `model` learned from, beside the `scored` ones; the stores
    of both hold the features of its frozen encoders, where a run keeps them."""

    model: Model
    records: Records
    scored: Records

    @property
    def table(self) -> Table:
        """The records' table, by the model's schema."""
        return self.model.read(self.records.table)

    @property
    def kept(self) -> list[str]:
        """The inputs whose features are at hand."""
        return [name for name in self.records.stores if name in self.scored.stores]


class Rival(NamedTuple):
    """A cheap model: what it is called, the expert of its kind and what that reads, and what `predict` gives for the
    scored records."""

    name: str
    expert_class: type[Expert]
    reads: list[Source]
    predict: Callable[[], Columns]

    def is_part_of(self, model: Model, target: str) -> bool:
        """Whether the model itself has such an expert of the same sources."""
        return model.experts is not None and any(
            named.target == target
            and type(named.expert) is self.expert_class
            and set(named.expert.config.sources) == set(self.reads)
            for named in model.experts.experts
        )


class Trial(NamedTuple):
    """One target that cheap models learn: the kind of model, the records learned from, the scored ones of `scored`, the
    metric by which they are judged, and a seed."""

    model: type[BaselineModel]
    target: TargetSpec
    records: TrainingRecords
    scored: Table
    metric: str
    seed: int


def rivals(trial: Trial, training: Training) -> Iterator[Rival]:
    """The cheap models that can be learned: linear ones of each text, of all numbers, categories and dates, and of the
    features of each frozen encoder; and boosted trees of the columns, but of very many classes."""
    method, note, labels = trial.model.method, trial.records.note, len(trial.target.labels)
    for source in sources(trial.scored.schema):
        yield Rival(f"{source.name}, {method}{note}", Linear, source.reads, partial(_predict_linear, trial, source))
        if isinstance(source, CellSource) and labels <= MOST_OUTPUTS:
            predict = partial(_predict_trees, trial, source)
            yield Rival(f"{source.name}, boosted trees{note}", BoostedTrees, source.reads, predict)
    for name in training.kept:
        width = training.records.stores[name].read(np.arange(1)).pooled.shape[1]
        sampled = trial._replace(records=trial.records.sample(MOST_VALUES // width, trial.seed))
        named = f"features of {name} ({_encoder_name(training.model, name)}), {method}{sampled.records.note}"
        yield Rival(named, Linear, [Source(name, FEATURES)], partial(_predict_features, sampled, training, name))


def _predict_linear(trial: Trial, source: CellSource) -> Columns:
    labels = len(trial.target.labels)
    features, scored_features = source.features(trial.records.table, trial.scored, labels)
    return predict_linear(trial.model, features, trial.records.truth, scored_features, labels, trial.metric)


def _predict_trees(trial: Trial, cells: CellSource) -> Columns:
    learned, applied, categories = cells.codes(trial.records.table, trial.scored)
    outputs = max(1, len(trial.target.labels))
    rounds = [min(ROUNDS, MOST_TREES // outputs)] * outputs
    columns = [ReadColumns(values, np.isfinite(values).any(axis=1)) for values in (learned, applied)]
    source = Source("columns", CELLS)
    settings = {"rounds": rounds, "categories": {source.name: categories}, "seed": trial.seed}
    return _predict_expert(trial, BoostedTrees, source, settings, *columns)


def _predict_features(trial: Trial, training: Training, name: str) -> Columns:
    scored_rows = pd.Index(training.scored.table.rows).get_indexer(trial.scored.rows)
    learned = _features(training.records, name, trial.records.rows)
    applied = _features(training.scored, name, scored_rows)
    return _predict_expert(trial, Linear, Source(name, FEATURES), {"strength": STRENGTH}, learned, applied)


def _predict_expert(
    trial: Trial, expert_class: type[Expert], source: Source, settings: dict, learned: ReadColumns, applied: ReadColumns
) -> Columns:
    """What an expert with stated `settings`, which needs no folds, says of the columns `applied`."""
    outputs = max(1, len(trial.target.labels))
    config = expert_class.Config(kind=trial.target.kind, outputs=outputs, sources=[source], **settings)
    truth = trial.model.learned(trial.records.truth)
    expert, _ = expert_class.fit(config, Material({source.name: learned}, truth, [], []))
    return trial.model.decide(expert.raw({source.name: applied}, []), trial.records.truth, trial.metric)


def _features(records: Records, name: str, rows: np.ndarray) -> ReadColumns:
    """The pooled features that a store of `records` has of `rows`, read in pieces, as their tokens may be many."""
    pieces = [
        columns_of(Source(name, FEATURES), records.stores[name].read(rows[start : start + EVALUATION_BATCH]))
        for start in range(0, len(rows), EVALUATION_BATCH)
    ]
    return ReadColumns(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True)))


def _encoder_name(model: Model, name: str) -> str:
    """The published model of an input's encoder, of a folder's path the last two names; else its kind of encoder."""
    encoder = model.encoders[name]
    published = getattr(encoder.config, "model", None)
    return "/".join(Path(published).parts[-2:]) if published else name_of(ENCODERS, encoder)
