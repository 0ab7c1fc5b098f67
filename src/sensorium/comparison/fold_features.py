"""A fold made ready: its encoders, which no variant trains, and the features that they all read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sensorium.build.model import assemble, build_encoders, should_freeze
from sensorium.comparison.variants import Fold
from sensorium.config.defaults import default_workers, fill_defaults
from sensorium.config.schema import FusionSettings, InputSettings
from sensorium.console import Console
from sensorium.data.records import Records
from sensorium.data.table import Table
from sensorium.evaluation.embedding import narrowed
from sensorium.files import discard
from sensorium.model import load
from sensorium.runs.pipeline import train_with_validation
from sensorium.tasks.base import Facts, RunContext, Task
from sensorium.tasks.splits import Split
from sensorium.training.cache import FeatureCache
from sensorium.training.views import Views, ViewsJob


class EncoderStub(nn.Module):
    """In the place of an encoder whose features are all known."""

    processor = None

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.dim, self.modality = encoder.dim, encoder.modality


class FoldFeatures:
    """A fold of a table, its encoders by input, and the features of every input, once they are there (see
    `prepare_encoders` and `fill_features`). ids: by input, int64 [N], content hashes of the table's records.
    """

    def __init__(self, table: Table, ids: dict[str, np.ndarray], fold: Fold):
        self.table, self.ids, self.fold = table, ids, fold
        self.encoders: dict[str, nn.Module] = {}
        self.stores: dict[str, Views] = {}

    def without_encoders(self) -> "FoldFeatures":
        """The same without the encoders' weights, to be sent to another process."""
        light = FoldFeatures(self.table, self.ids, self.fold)
        light.encoders = {name: EncoderStub(encoder) for name, encoder in self.encoders.items()}
        light.stores = self.stores
        return light

    def split(self, name: str, inputs: tuple[str, ...]) -> Split:
        """The records of "train", "validation" or "test", with some of the inputs."""
        rows = getattr(self.fold, name)
        ids = {input_name: self.ids[input_name][rows] for input_name in inputs}
        return Split(name, narrowed(self.table.take(rows), list(inputs)), ids)

    def records(self, split: Split, tokens: bool, seed: int) -> Records:
        """The records of a split as features: all tokens, or the summary alone."""
        rows = getattr(self.fold, split.name)
        stores = {name: _summaries(self.stores[name].take(rows), tokens) for name in split.ids}
        return Records(split.table, {}, split.ids, stores, seed)


def prepare_encoders(
    task: Task, features: FoldFeatures, facts: Facts, tokens: bool, folder: Path, context: RunContext
) -> FoldFeatures:
    """`features` with its encoders.

    Pretrained ones stay as they are. One from scratch is trained on the fold's training records with a head of its own,
    no other input beside it, and then stays as it is: so no way of fusing has shaped it. `folder` holds those encoders.
    """
    torch.manual_seed(context.recipe.seed)
    train = features.table.take(features.fold.train)
    features.encoders = build_encoders(train, context.recipe.inputs, facts, not tokens)
    for name, encoder in features.encoders.items():
        if not should_freeze(encoder, context.recipe.inputs.get(name, InputSettings())):
            features.encoders[name] = _train_alone(task, features, name, folder / name, context)
        features.encoders[name].requires_grad_(False).to(context.accelerator.device)
    return features


def fill_features(features: FoldFeatures, tokens: bool, context: RunContext) -> None:
    """Gives `features` those of every record of the table, all `tokens` or the summary alone."""
    for name, encoder in features.encoders.items():
        records = Records(features.table, {name: encoder.processor}, features.ids, seed=context.recipe.seed)
        job = ViewsJob(context.features, name, encoder, records, tokens, context.precision, 1)
        with context.console.progress(f"Features of '{name}'", job.rows) as advance:
            features.stores[name] = job.fill(context.recipe.training.workers or 0, advance)


def _train_alone(task: Task, features: FoldFeatures, name: str, folder: Path, context: RunContext) -> nn.Module:
    """The encoder of an input, trained by itself; from `folder`, when it was trained before."""
    if (folder / "model").exists():
        return load(folder).encoders[name]
    train, validation = (_having(features.split(split, (name,)), name) for split in ("train", "validation"))
    # The recipe of this input alone.
    inputs = {key: settings for key, settings in context.recipe.inputs.items() if key == name}
    recipe = context.recipe.model_copy(update={"fusion": FusionSettings(name="concat"), "inputs": inputs})
    recipe = default_workers(fill_defaults(recipe, len(train.table)), reads_files=True)
    # The model around its encoder, trained without a word.
    encoder = features.encoders[name]
    torch.manual_seed(recipe.seed)
    model = assemble(train.table, recipe, {name: encoder}).to(context.accelerator.device)
    processors = {name: encoder.processor}
    records = {
        split.name: Records(split.table, processors, split.ids, seed=recipe.seed) for split in (train, validation)
    }
    inner = replace(context, work_folder=folder, recipe=recipe, console=Console(quiet=True))
    with context.console.spinner(f"Training the encoder of '{name}'"):
        splits = {"train": train, "validation": validation}
        train_with_validation(task, model, splits, records, f"{name} alone", inner)
    model.save(folder / "model")
    discard(folder / "last")
    return model.encoders[name]


def _having(split: Split, name: str) -> Split:
    """The records of a split that have the input."""
    has = split.ids[name] != 0
    return Split(split.name, split.table.take(has), {name: split.ids[name][has]})


def _summaries(store: Views, tokens: bool) -> Views:
    """The same features, with no more than the summary unless tokens are read."""
    if tokens:
        return store
    return Views([FeatureCache(cache.folder, cache.positions, cache.dim, False) for cache in store.caches])
