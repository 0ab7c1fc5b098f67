"""What a recipe leaves open, chosen from the size of the data, and written into the recipe that the run saves."""

import math
import os
from typing import NamedTuple

from sensorium.config.schema import Recipe

CONTINUED_EPOCHS = 3  # over new records: benchmarks/warm_start.py shows that more of them forget more
STEPS = 300  # optimiser steps that small models need from scratch, about; the epochs follow from them
REFIT = 20_000  # records up to which training twice is cheap


class Size(NamedTuple):
    """What a recipe's defaults follow from: batches of an epoch, bounds of a batch's size, steps in units of STEPS."""

    batches: int
    smallest: int
    largest: int
    steps: int


SUPERVISED = Size(16, 16, 256, 1)
# Each record of a batch is compared with all others: larger batches teach more, and more steps are needed.
ALIGNED = Size(8, 32, 512, 3)


def fill_defaults(recipe: Recipe, records: int) -> Recipe:
    """The recipe with epochs, batch size, patience and refit filled in for `records` training records."""
    training, size = recipe.training, SUPERVISED if recipe.family is None else ALIGNED
    usual = 2 ** round(math.log2(max(1, records / size.batches)))
    batch = min(training.batch_size or min(size.largest, max(size.smallest, usual)), max(1, records))
    steps = math.ceil(records / batch)
    from_scratch = min(60, max(3, round(size.steps * STEPS / steps)))
    epochs = training.epochs or (from_scratch if recipe.start_from is None else CONTINUED_EPOCHS)
    chosen = {
        "batch_size": batch,
        "epochs": epochs,
        "patience": training.patience or max(5, epochs // 3),
        "refit": training.refit if training.refit is not None else records <= REFIT,
    }
    return recipe.model_copy(update={"training": training.model_copy(update=chosen)})


def default_workers(recipe: Recipe, reads_files: bool) -> Recipe:
    """The recipe with the number of workers filled in: some where pictures or sounds are read in training, not taken
    from the cache, else none.
    """
    if recipe.training.workers is not None:
        return recipe
    workers = max(1, min(4, (os.cpu_count() or 1) // 2)) if reads_files else 0
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"workers": workers})})
