"""What a recipe leaves open, chosen from the size of the data, and written into the recipe that the run saves."""

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from sensorium.config.schema import InputSettings, Recipe
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.encoders.defaults import choose_encoder, describe_choices

CONTINUED_EPOCHS = 3  # over new records: benchmarks/warm_start.py shows that more of them forget more
STEPS = 300  # optimiser steps that small models need from scratch, about; the epochs follow from them
REFIT = 20_000  # records up to which training twice is cheap


class Size(NamedTuple):
    """What a recipe's defaults follow from: batches of an epoch, bounds of a batch's size, steps in units of STEPS, and
    the learning rate.
    """

    batches: int
    smallest: int
    largest: int
    steps: int
    learning_rate: float = 1e-3


SUPERVISED = Size(16, 16, 256, 1)
# What is written or drawn is more to learn than a decision, in small steps: large ones learn what is coarse in a
# picture, and leave little of what is fine in the features.
WRITTEN = Size(128, 16, 128, 8, 3e-4)
# Places are learned at each part of a picture too, which bears larger steps.
PLACED = Size(128, 16, 32, 10)
# By preset: how many times STEPS a fit trains; records below which all of them say how much each expert decides.
EFFORT = {"fast": 1 / 3, "good": 1.0, "best": 2.0}
CROSS_FITTED = {"fast": 0, "good": 1_000, "best": 5_000}
THOROUGH = "best"  # the preset that tries adapters
# Each record of a batch is compared with all others: larger batches teach more, and more steps are needed.
ALIGNED = Size(8, 32, 512, 3)


def fill_defaults(recipe: Recipe, records: int, targets: Sequence[TargetSpec] = ()) -> Recipe:
    """The recipe with epochs, batch size, patience, refit, experts and folds filled in, for `records` training records
    that have these `targets`."""
    training, size = recipe.training, _size_of(recipe, targets)
    usual = 2 ** round(math.log2(max(1, records / size.batches)))
    batch = min(training.batch_size or min(size.largest, max(size.smallest, usual)), max(1, records))
    steps = math.ceil(records / batch)
    effort = EFFORT[recipe.preset]
    from_scratch = min(round(60 * effort), max(3, round(size.steps * effort * STEPS / steps)))
    epochs = training.epochs or (from_scratch if recipe.start_from is None else CONTINUED_EPOCHS)
    experts = recipe.experts
    if experts is None:
        experts = recipe.family is None and not _follows_another(recipe) and not _is_old(recipe)
    few = recipe.budget is None and records < CROSS_FITTED[recipe.preset]
    chosen = {
        "batch_size": batch,
        "epochs": epochs,
        "learning_rate": training.learning_rate or size.learning_rate,
        "patience": training.patience or max(5, epochs // 3),
        "cross_fit": training.cross_fit if training.cross_fit is not None else experts and few,
        "refit": training.refit if training.refit is not None else records <= REFIT,
    }
    return recipe.model_copy(update={"experts": experts, "training": training.model_copy(update=chosen)})


def tries_others(recipe: Recipe) -> bool:
    """Whether other settings than the recipe's are tried before its model is chosen."""
    return recipe.budget is not None or (recipe.preset == THOROUGH and recipe.family is None)


def _size_of(recipe: Recipe, targets: Sequence[TargetSpec]) -> Size:
    """What the defaults of batches and epochs follow from, by what is learned."""
    if recipe.family is not None:
        return ALIGNED
    kinds = [TARGETS[spec.kind] for spec in targets]
    written = [kind for kind in kinds if kind.scored_by == "loss"]
    if not written:
        return SUPERVISED
    return PLACED if all(hasattr(kind, "about") for kind in written) else WRITTEN


def choose_encoders(table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> tuple[Recipe, list[str]]:
    """The recipe with an encoder named for each text, image and audio input that it leaves open, and sentences about
    the choice.

    table: the training records. facts: the scan's, by input. A run that goes on from another, begins with one or has a
    family keeps its encoders, an input about whose training the recipe says something is trained, and a recipe that an
    older version has saved leaves nothing open. Raises UserError when a pack that is installed is damaged.
    """
    goes_on = recipe.start_from is not None or recipe.begin_with is not None or recipe.family is not None
    if goes_on or _is_old(recipe):
        return recipe, []
    choices = {
        spec.name: choose_encoder(spec, table, facts.get(spec.name, {}))
        for spec in table.schema.inputs
        if _is_open(recipe.inputs.get(spec.name, InputSettings()))
    }
    choices = {name: choice for name, choice in choices.items() if choice is not None}
    chosen = {
        name: recipe.inputs.get(name, InputSettings()).model_copy(
            update={"encoder": choice.encoder} | ({"config": choice.config} if choice.config else {})
        )
        for name, choice in choices.items()
    }
    # An input that shares an encoder has the same settings in a recipe.
    for name, settings in recipe.inputs.items():
        if settings.shares in chosen:
            chosen[name] = chosen[settings.shares].model_copy(update={"shares": settings.shares})
    sentences = describe_choices(choices, [spec for spec in table.schema.inputs if spec.name in chosen])
    return recipe.model_copy(update={"inputs": recipe.inputs | chosen}), sentences


def _follows_another(recipe: Recipe) -> bool:
    """Whether another model says what is right as well, of which experts would learn nothing: the run that is gone on
    from, or a teacher."""
    return recipe.start_from is not None or recipe.teacher is not None


def _is_old(recipe: Recipe) -> bool:
    """Whether a run has saved it, with every setting that there was, when there were no experts and no packs."""
    stated = recipe.model_fields_set
    return {"data", "inputs", "targets", "fusion", "training", "seed"} <= stated and "experts" not in stated


def _is_open(settings: InputSettings) -> bool:
    """Whether neither the encoder is named, nor anything said about its shape or how it is trained."""
    statements = (settings.encoder, settings.shares, settings.frozen, settings.learning_rate, settings.layer_decay)
    return all(value is None for value in statements) and not settings.config


def default_workers(recipe: Recipe, reads_files: bool) -> Recipe:
    """The recipe with the number of workers filled in: some where pictures or sounds are read in training, not taken
    from the cache, else none.
    """
    if recipe.training.workers is not None:
        return recipe
    workers = max(1, min(4, (os.cpu_count() or 1) // 2)) if reads_files else 0
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"workers": workers})})
