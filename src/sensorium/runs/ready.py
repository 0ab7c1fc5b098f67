"""What training begins with: the model, the records of each part, the settings that were left open."""

from dataclasses import replace
from typing import NamedTuple

from sensorium.data.records import Records
from sensorium.data.schema import MEDIA
from sensorium.model import Model
from sensorium.config.defaults import fill_defaults
from sensorium.tasks.splits import Split, fingerprint_splits
from sensorium.runs.loaders import load_records, select_records
from sensorium.runs.stages import RunContext, initial_model
from sensorium.build.finetune import cached_inputs
from sensorium.training.precision import choose_precision

Facts = dict[str, dict[str, float]]


class PreparedRun(NamedTuple):
    """The model before training, the records by part, what the run is known by, and the context with its whole recipe."""

    model: Model
    records: dict[str, Records]
    mark: str
    context: RunContext


def run_fingerprint(split: dict[str, Split], context: RunContext) -> str:
    """What the run is known by: everything that its outcome depends on."""
    # The choice of workers alone waits for the model, and they are no part of what a run is known by.
    return fingerprint_splits(split, fill_defaults(context.recipe, len(split["train"].table), False))


def prepare_run(split: dict[str, Split], facts: Facts, context: RunContext, says: bool = True) -> PreparedRun:
    """Builds the model, completes the recipe (and saves and prints it, when it `says`), fills the feature cache."""
    train, mark = split["train"].table, run_fingerprint(split, context)
    model = initial_model(train, facts, mark, context)
    precision, reason = choose_precision(context.recipe.training.precision, context.accelerator.device)
    kept = cached_inputs(model, context.recipe)
    reads = any(encoder.modality in MEDIA and name not in kept for name, encoder in model.encoders.items())
    context = replace(context, recipe=fill_defaults(context.recipe, len(train), reads), precision=precision)
    if says:
        if context.accelerator.is_main_process:
            context.recipe.save(context.folder / "recipe.yaml")
        counts = {name: len(part.table) for name, part in split.items() if name != "known"}
        context.console.plan(context.recipe, model, counts, precision, reason)
        for sentence in context.task.sentences(model, split, context.recipe):
            context.console.print(sentence)
    model.to(context.accelerator.device)
    read = ("known", "test") if says else ("known",)  # the test is not for candidates
    records = {name: load_records(model, split[name], kept, context) for name in read if name in split}
    records |= {name: select_records(records["known"], split[name]) for name in ("train", "validation")}
    return PreparedRun(model, records, mark, context)
