"""What training begins with: the model, the records of each part, the settings that were left open."""

from dataclasses import replace
from typing import NamedTuple

from sensorium.data.records import Records
from sensorium.data.schema import MEDIA
from sensorium.model import Model
from sensorium.config.defaults import complete
from sensorium.tasks.splits import Part, fingerprint
from sensorium.runs.loaders import records_of, share
from sensorium.runs.stages import Stage, untrained
from sensorium.build.finetune import cached
from sensorium.training.precision import choose_precision

Facts = dict[str, dict[str, float]]


class Ready(NamedTuple):
    """The model before training, the records by part, what the run is known by, and the stage with its whole recipe."""

    model: Model
    records: dict[str, Records]
    mark: str
    stage: Stage


def mark_of(split: dict[str, Part], stage: Stage) -> str:
    """What the run is known by: everything that its outcome depends on."""
    # The choice of workers alone waits for the model, and they are no part of what a run is known by.
    return fingerprint(split, complete(stage.recipe, len(split["train"].table), False))


def make_ready(split: dict[str, Part], facts: Facts, stage: Stage, says: bool = True) -> Ready:
    """Builds the model, completes the recipe (and saves and prints it, when it `says`), fills the feature cache."""
    train, mark = split["train"].table, mark_of(split, stage)
    model = untrained(train, facts, mark, stage)
    precision, reason = choose_precision(stage.recipe.training.precision, stage.accelerator.device)
    kept = cached(model, stage.recipe)
    reads = any(encoder.modality in MEDIA and name not in kept for name, encoder in model.encoders.items())
    stage = replace(stage, recipe=complete(stage.recipe, len(train), reads), precision=precision)
    if says:
        if stage.accelerator.is_main_process:
            stage.recipe.save(stage.folder / "recipe.yaml")
        counts = {name: len(part.table) for name, part in split.items() if name != "known"}
        stage.talk.plan(stage.recipe, model, counts, precision, reason)
        for sentence in stage.task.sentences(model, split, stage.recipe):
            stage.talk.say(sentence)
    model.to(stage.accelerator.device)
    read = ("known", "test") if says else ("known",)  # the test is not for candidates
    records = {name: records_of(model, split[name], kept, stage) for name in read if name in split}
    records |= {name: share(records["known"], split[name]) for name in ("train", "validation")}
    return Ready(model, records, mark, stage)
