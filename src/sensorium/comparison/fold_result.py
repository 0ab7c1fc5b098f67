"""One training of one variant on one fold with one seed, and what it got right."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sensorium.build.model import assemble, fusion_class
from sensorium.comparison.fold_features import FoldFeatures
from sensorium.comparison.variants import Variant
from sensorium.config.defaults import default_workers, fill_defaults
from sensorium.config.schema import Recipe
from sensorium.data.schema import TargetSpec
from sensorium.evaluation.scoring import score
from sensorium.files import discard, whole_file
from sensorium.metrics import METRIC_KINDS, Columns
from sensorium.model import Model
from sensorium.runs.pipeline import train_with_validation
from sensorium.tasks.base import RunContext, Task
from sensorium.training.loop import Diverged
from sensorium.training.validation import calibrate


class FoldResult(NamedTuple):
    """What one training led to.

    rows:       int [N], the test records of the fold.
    scores:     by target, float [N], higher is better (see `sample_scores`), NaN where a record lacks the target.
    prior:      the same of the training prior, which knows no input.
    parameters: of fusion and heads, which are all that was trained. seconds: of training.
    state:      "whole", or "diverged", when every score is the prior's.
    """

    rows: list[int]
    scores: dict[str, list[float]]
    prior: dict[str, list[float]]
    parameters: int
    seconds: float
    epochs: int
    state: str

    def save(self, path: Path) -> None:
        """Writes the result, whole or not at all. Raises UserError."""
        with whole_file(path) as new:
            new.write_text(json.dumps(self._asdict()))

    @classmethod
    def load(cls, path: Path) -> "FoldResult":
        """The result that `save` wrote."""
        return cls(**json.loads(path.read_text()))


def train_variant(
    task: Task, variant: Variant, seed: int, features: FoldFeatures, folder: Path, context: RunContext
) -> FoldResult:
    """Trains the variant on the fold's features and scores it on the fold's test records."""
    # The model and the records of each split.
    model, recipe = variant_model(variant, seed, features, context)
    tokens = fusion_class(recipe).reads == "tokens"
    splits = {name: features.split(name, variant.inputs) for name in ("train", "validation", "test")}
    records = {name: features.records(split, tokens, recipe.seed) for name, split in splits.items()}
    parameters = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    # Training.
    inner = replace(context, work_folder=folder, recipe=recipe)
    try:
        state = train_with_validation(task, model, splits, records, variant.name, inner)
        calibrate(model, records["validation"])
        inputs, seconds, epochs, outcome = variant.inputs, state.seconds, state.epoch, "whole"
    except Diverged:
        inputs, seconds, epochs, outcome = (), 0.0, 0, "diverged"
    # Scores of the model and of the prior.
    scored = score(model, records["test"].batches(model.device), {(): None, inputs: None})
    scores, prior = (
        {
            spec.name: sample_scores(spec, scored.targets[spec.name], scored.predictions[coalition][spec.name])
            for spec in splits["test"].table.schema.targets
        }
        for coalition in (inputs, ())
    )
    discard(folder)
    return FoldResult(features.fold.test.tolist(), scores, prior, parameters, seconds, epochs, outcome)


def variant_model(variant: Variant, seed: int, features: FoldFeatures, context: RunContext) -> tuple[Model, Recipe]:
    """The variant's model on the fold's encoders, and its whole recipe."""
    train = features.split("train", variant.inputs).table
    recipe = default_workers(fill_defaults(variant.recipe(context.recipe, seed), len(train)), reads_files=False)
    torch.manual_seed(recipe.seed)
    encoders = {name: features.encoders[name] for name in variant.inputs}
    return assemble(train, recipe, encoders).to(context.accelerator.device), recipe


def sample_scores(spec: TargetSpec, truth: Columns, prediction: Columns) -> list[float]:
    """float [N]: each record's score, higher is better, as the target's kind has it; NaN where it lacks the target."""
    return np.where(truth["mask"], METRIC_KINDS[spec.kind].sample_score(truth, prediction), np.nan).tolist()
