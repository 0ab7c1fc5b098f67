"""A fold made ready: its encoders, which no candidate trains, and the features that they all read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sensorium.build.finetune import should_freeze
from sensorium.build.model import assemble, build_encoders
from sensorium.comparison.plan import Fold
from sensorium.config.defaults import fill_defaults
from sensorium.config.schema import FusionSettings, InputSettings
from sensorium.console import Console
from sensorium.data.records import Records
from sensorium.data.table import Table
from sensorium.evaluation.embedding import narrowed
from sensorium.files import discard
from sensorium.model import load
from sensorium.runs.stages import RunContext, train_with_validation
from sensorium.tasks.splits import Split
from sensorium.training.cache import FeatureCache
from sensorium.training.views import Views, ViewsJob

Facts = dict[str, dict[str, float]]


class EncoderStub(nn.Module):
    """In the place of an encoder whose features are all known."""

    processor = None

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.dim, self.modality = encoder.dim, encoder.modality


class FoldFeatures:
    """A fold of a table, its encoders by input, and the features of every input, once they are there (see `prepare` and
    `fill`). ids: by input, int64 [N], content hashes of the table's records.
    """

    def __init__(self, table: Table, ids: dict[str, np.ndarray], fold: Fold):
        self.table, self.ids, self.fold = table, ids, fold
        self.encoders: dict[str, nn.Module] = {}
        self.stores: dict[str, Views] = {}

    def features_alone(self) -> "FoldFeatures":
        """The same without the encoders' weights, to be sent to another process."""
        light = FoldFeatures(self.table, self.ids, self.fold)
        light.encoders = {name: EncoderStub(one) for name, one in self.encoders.items()}
        light.stores = self.stores
        return light

    def part(self, name: str, inputs: tuple[str, ...]) -> Split:
        """The records of "train", "validation" or "test", with some of the inputs."""
        rows = getattr(self.fold, name)
        ids = {one: self.ids[one][rows] for one in inputs}
        return Split(name, narrowed(self.table.take(rows), list(inputs)), ids)

    def records(self, part: Split, tokens: bool, seed: int) -> Records:
        """The records of a part as features: all tokens, or the summary alone."""
        rows = getattr(self.fold, part.name)
        stores = {name: _summaries(self.stores[name].take(rows), tokens) for name in part.ids}
        return Records(part.table, {}, part.ids, stores, seed)


def prepare(prepared: FoldFeatures, facts: Facts, tokens: bool, place: Path, context: RunContext) -> FoldFeatures:
    """`prepared` with its encoders.

    Pretrained ones stay as they are. One from scratch is trained on the fold's training records with a head of its own,
    no other input beside it, and then stays as it is: so no way of fusing has shaped it. `place` keeps those encoders.
    """
    torch.manual_seed(context.recipe.seed)
    known = prepared.table.take(prepared.fold.train)
    prepared.encoders = build_encoders(known, context.recipe.inputs, facts, not tokens)
    for name, encoder in prepared.encoders.items():
        if not should_freeze(encoder, context.recipe.inputs.get(name, InputSettings())):
            prepared.encoders[name] = _alone(prepared, name, place / name, context)
        prepared.encoders[name].requires_grad_(False).to(context.accelerator.device)
    return prepared


def fill(prepared: FoldFeatures, tokens: bool, context: RunContext) -> None:
    """Gives `prepared` the features of every record of the table, all `tokens` or the summary alone."""
    for name, encoder in prepared.encoders.items():
        whole = Records(prepared.table, {name: encoder.processor}, prepared.ids, seed=context.recipe.seed)
        job = ViewsJob(context.features, name, encoder, whole, tokens, context.precision, 1)
        with context.console.progress(f"Features of '{name}'", job.rows) as advance:
            prepared.stores[name] = job.fill(context.recipe.training.workers or 0, advance)


def _alone(prepared: FoldFeatures, name: str, place: Path, context: RunContext) -> nn.Module:
    """The encoder of an input, trained by itself; from `place`, when it was trained before."""
    if (place / "model").exists():
        return load(place).encoders[name]
    train, validation = (_having(prepared.part(part, (name,)), name) for part in ("train", "validation"))
    inputs = {one: settings for one, settings in context.recipe.inputs.items() if one == name}
    recipe = context.recipe.model_copy(update={"fusion": FusionSettings(name="concat"), "inputs": inputs})
    recipe = fill_defaults(recipe, len(train.table), True)
    encoder = prepared.encoders[name]
    torch.manual_seed(recipe.seed)
    model = assemble(train.table, recipe, {name: encoder}).to(context.accelerator.device)
    processors = {name: encoder.processor}
    records = {part.name: Records(part.table, processors, part.ids, seed=recipe.seed) for part in (train, validation)}
    inner = replace(context, folder=place, recipe=recipe, console=Console(quiet=True))
    with context.console.spinner(f"Training the encoder of '{name}'"):
        train_with_validation(model, {"train": train, "validation": validation}, records, f"{name} alone", inner)
    model.save(place / "model")
    discard(place / "last")
    return model.encoders[name]


def _having(part: Split, name: str) -> Split:
    """The records of a part that have the input."""
    has = part.ids[name] != 0
    return Split(part.name, part.table.take(has), {name: part.ids[name][has]})


def _summaries(store: Views, tokens: bool) -> Views:
    """The same features, with no more than the summary unless tokens are read."""
    if tokens:
        return store
    return Views([FeatureCache(one.folder, one.positions, one.dim, False) for one in store.caches])
