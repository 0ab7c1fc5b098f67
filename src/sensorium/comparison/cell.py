"""One training of one candidate on one fold with one seed, and what it got right."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sensorium.build.model import assemble, fusion_class
from sensorium.comparison.plan import Variant
from sensorium.comparison.prepared import FoldFeatures
from sensorium.config.defaults import fill_defaults
from sensorium.data.schema import TargetSpec
from sensorium.evaluation.scoring import score
from sensorium.files import discard, whole_file
from sensorium.metrics import Columns, vqa_accuracy
from sensorium.model import Model
from sensorium.runs.loaders import evaluation_batches
from sensorium.runs.stages import RunContext, train_with_validation
from sensorium.training.loop import Diverged
from sensorium.training.validation import calibrate

MEASURES = {
    "class": "accuracy",
    "labels": "share of labels right",
    "number": "negative absolute error",
    "answer": "VQA accuracy",
}


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
        """Writes the cell, whole or not at all. Raises UserError."""
        with whole_file(path) as new:
            new.write_text(json.dumps(self._asdict()))

    @classmethod
    def load(cls, path: Path) -> "FoldResult":
        """The cell that `save` wrote."""
        return cls(**json.loads(path.read_text()))


def train(candidate: Variant, seed: int, prepared: FoldFeatures, folder: Path, context: RunContext) -> FoldResult:
    """Trains the candidate on the fold's features and scores it on the fold's test records."""
    model, recipe = variant_model(candidate, seed, prepared, context)
    tokens = fusion_class(recipe).reads == "tokens"
    parts = {name: prepared.part(name, candidate.inputs) for name in ("train", "validation", "test")}
    records = {name: prepared.records(part, tokens, recipe.seed) for name, part in parts.items()}
    inner = replace(context, folder=folder, recipe=recipe)
    parameters = sum(one.numel() for one in model.parameters() if one.requires_grad)
    try:
        position = train_with_validation(model, parts, records, candidate.name, inner)
        calibrate(model, records["validation"])
        taken, seconds, epochs, state = candidate.inputs, position.seconds, position.epoch, "whole"
    except Diverged:
        taken, seconds, epochs, state = (), 0.0, 0, "diverged"
    found = score(model, evaluation_batches(records["test"], model), {(): None, taken: None})
    scores, prior = (
        {
            spec.name: sample_scores(spec, found.targets[spec.name], found.predictions[inputs][spec.name])
            for spec in parts["test"].table.schema.targets
        }
        for inputs in (taken, ())
    )
    discard(folder)
    return FoldResult(prepared.fold.test.tolist(), scores, prior, parameters, seconds, epochs, state)


def variant_model(candidate: Variant, seed: int, prepared: FoldFeatures, context: RunContext) -> tuple[Model, object]:
    """The candidate's model on the fold's encoders, and its whole recipe."""
    known = prepared.part("train", candidate.inputs)
    recipe = fill_defaults(candidate.recipe(context.recipe, seed), len(known.table), False)
    torch.manual_seed(recipe.seed)
    encoders = {name: prepared.encoders[name] for name in candidate.inputs}
    return assemble(known.table, recipe, encoders).to(context.accelerator.device), recipe


def sample_scores(spec: TargetSpec, truth: Columns, prediction: Columns) -> list[float]:
    """float [N]: 1 or 0 for a class that is right or wrong, the share of labels that are right, minus the absolute
    error of a number, the VQA accuracy of an answer; NaN where the record lacks the target.
    """
    if spec.kind == "class":
        values = (prediction["decision"] == truth["label"]).astype(np.float64)
    elif spec.kind == "labels":
        values = (prediction["decision"].astype(bool) == truth["labels"].astype(bool)).mean(axis=1)
    elif spec.kind == "answer":
        values = vqa_accuracy(truth, prediction["decision"])
    else:
        values = -np.abs(prediction["decision"].astype(np.float64) - truth["value"])
    return np.where(truth["mask"], values, np.nan).tolist()
