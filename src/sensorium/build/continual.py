"""Going on from a trained run with new records: its weights, its heads with what classes are new."""

import copy
import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sensorium.build.model import head_settings
from sensorium.build.pretrained import init_from_pretrained
from sensorium.config.schema import Recipe
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.data.targets.class_ import IMBALANCED
from sensorium.heads.ensemble import without_experts
from sensorium.model import Model

SMALL = 0.1  # of their usual spread: the weights of a class that is new


def checkpoint_fingerprint(run: str | Path) -> bytes:
    """What the model of a run or a checkpoint is known by: a hash of its weights and its description."""
    folder, digest = Path(run), hashlib.blake2b(digest_size=16)
    folder = folder / "model" if (folder / "model" / "model.json").exists() else folder
    for name in ("model.json", "model.safetensors"):
        with open(folder / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.digest()


def build_from(old: Model, table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
    """The model for the training records `table` with parts of the trained model `old`, or `old` itself with heads for
    the table's targets. facts: the scan's, by input.
    """
    if recipe.begin_with is not None:
        return init_from_pretrained(table, recipe, facts, old)
    return extend_heads(copy.deepcopy(old), table, recipe)


def extend_heads(model: Model, table: Table, recipe: Recipe) -> Model:
    """`model` with heads for the targets of `table`, the training records: what it knew stays bit for bit.

    A class that is new gets small weights and the bias of its frequency. What is fitted on validation records after
    training (temperatures, thresholds) begins again. Encoders, their processors and the fusion are those of `model`.
    """
    torch.manual_seed(recipe.seed)
    encoders = {name: model.encoders[name] for name in model.encoders.names}
    for spec in table.schema.targets:
        processor = getattr(model.heads[spec.name], "processor", None)
        if processor is not None:
            examples = TARGETS[spec.kind].examples(table.cells(spec.name, spec.kind))
            getattr(model.heads[spec.name], "warn_of_cut", processor.warn_of_cut)(examples)
    heads = {
        spec.name: _extend_head(
            without_experts(model.heads[spec.name]), head_settings(table, spec, recipe, encoders), model.fusion.dim
        )
        for spec in table.schema.targets
    }
    projections = {name: model.projections[name] for name in model.projections.names}
    temperature = float((-model.logit_scale.detach()).exp()) if hasattr(model, "logit_scale") else None
    return Model(encoders, projections, model.fusion, heads, temperature, table.schema)


def _extend_head(old: nn.Module, learned: dict[str, Any], dim: int) -> nn.Module:
    """The head `old` with what is `learned` of the new records: more classes, or more answers. One that has a tokenizer
    stays as it is: words that the tokenizer lacks are split.
    """
    if getattr(old, "processor", None) is not None:
        return old
    config = old.config.model_dump()
    inner = config["config"] if "experts" in config else config
    if "classes" in inner:  # what a number is measured in, its mean and scale, stays
        inner |= _mixed_statistics(inner, learned)
    if "answers" in learned:
        fitting = [tokens[: config["context"] - 1] + tokens[-1:] for tokens in learned["answers"]]
        config |= {"prior": learned["prior"], "answers": fitting}
    new = type(old)(old.Config.model_validate(config), dim)
    with torch.no_grad():
        for weights, old_weights in zip(new.parameters(), old.parameters(), strict=True):
            if weights.ndim > 1:
                weights[len(old_weights) :] *= SMALL
            weights[: len(old_weights)] = old_weights
    return new


def _mixed_statistics(old: dict[str, Any], learned: dict[str, Any]) -> dict[str, Any]:
    """What a head of classes knows of its records: the prior is the mean of the old one and of that of the new records,
    for the model has learned from both.
    """
    old_prior = old["prior"] + [0.0] * (learned["classes"] - len(old["prior"]))
    prior = [(before + now) / 2 for before, now in zip(old_prior, learned["prior"], strict=True)]
    mixed = {"classes": learned["classes"], "prior": prior}
    if "class_weights" in learned:
        balanced = learned["class_weights"] is not None
        mixed["class_weights"] = [1 / (len(prior) * share) for share in prior] if balanced else None
        mixed["choose_threshold"] = len(prior) == 2 and max(prior) > IMBALANCED
    return mixed
