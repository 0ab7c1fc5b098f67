"""Learning targets: what `fit` trains, validates and reports."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator
from rich.console import RenderableType
from torch import nn

from sensorium.build.continual import build_or_load, check_agrees, inherited_settings
from sensorium.build.objectives import fitted_by, objective_sentences
from sensorium.build.pretrained import check_pretrained
from sensorium.build.pretrained import pretrained_sentences as begun_sentences
from sensorium.config.schema import Recipe
from sensorium.console import Console, StepCallback, sample_predictions
from sensorium.data.records import Records
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation import Report, evaluate
from sensorium.model import Model
from sensorium.runs.loaders import evaluation_batches
from sensorium.tasks.base import Source
from sensorium.tasks.previous_run import FilteredRecords, drop_previous_test, measure_forgetting
from sensorium.tasks.source import open_table
from sensorium.tasks.splits import Split
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation
from sensorium.training.validation import calibrate, validator

if TYPE_CHECKING:
    from sensorium.runs.stages import RunContext


class SupervisedTask:
    """Targets, learned from inputs that a fusion brings together."""

    names = "target"
    inherits = True

    def base(self, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """What is given, else the settings of the run that is gone on from."""
        start = options.get("start_from")
        return given if given or start is None else inherited_settings(start, options)

    def check(self, recipe: Recipe, folder: Path) -> None:
        """A recipe without a family, which agrees with the run that it goes on from."""
        if recipe.family is not None:
            raise UserError(
                f"The recipe is one of pretraining and has no target to fit; take sensorium pretrain"
                f" {recipe.family.name}, or a recipe without a family."
            )
        check_agrees(recipe, folder)
        check_pretrained(recipe, folder)

    def open(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """As Task says."""
        table, recipe = open_table(records, recipe, console)
        if recipe.begin_with is not None:
            for sentence in begun_sentences(table, recipe):
                console.print(sentence)
        return table, recipe

    def sort_out(self, table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console) -> FilteredRecords:
        """As Task says."""
        return drop_previous_test(table, ids, recipe, console)

    def together(self, table: Table, ids: dict[str, np.ndarray], console: Console) -> np.ndarray | None:
        """None: the user names a group. Says when pictures that are asked about several times are none."""
        if any(spec.kind == "answer" for spec in table.schema.targets) and table.schema.group is None:
            for sentence in _repeated(table, ids):
                console.print(sentence)
        return None

    def check_parts(self, split: dict[str, Split], recipe: Recipe) -> None:
        """Nothing more than `parts` sees to."""

    def begin(self, table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
        """As Task says."""
        return build_or_load(table, recipe, facts)

    def objectives(self, model: Model, recipe: Recipe, steps: int) -> list[nn.Module]:
        """One for each target, what the fusion itself has to learn, and the recipe's own."""
        return fitted_by(model, recipe)

    def validator(
        self, split: dict[str, Split], records: Records, recipe: Recipe, accelerator: Accelerator
    ) -> Callable[[Learner], Validation]:
        """The headline metric of every target."""
        return validator(records, accelerator)

    def calibrate(self, model: Model, records: Records) -> None:
        """Thresholds, temperatures and weights of the heads."""
        calibrate(model, records)

    def sentences(self, model: Model, split: dict[str, Split], recipe: Recipe) -> list[str]:
        """What is learned beside the targets."""
        return objective_sentences(model, recipe)

    def watched(self, report: StepCallback, split: dict[str, Split], context: "RunContext") -> StepCallback:
        """`report` alone."""
        return report

    def report(
        self, scored: Model, part: Split, records: Records, context: "RunContext", seconds: float, saved: Model
    ) -> Report:
        """Every metric, what each input is worth, and what a run that went on has forgotten."""
        report = evaluate(
            scored,
            part.table,
            batches=evaluation_batches(records, scored),
            seed=context.recipe.seed,
            train_seconds=seconds,
        )
        if context.memory is None:
            return report
        return replace(report, forgetting=measure_forgetting(context.memory, context.recipe, saved, context.console))

    def closing(self, model: Model, part: Split, context: "RunContext") -> tuple[list[RenderableType], list[str]]:
        """Five predictions."""
        folder = context.folder
        return [sample_predictions(model, part.table)], [
            f"sensorium predict {folder} new.csv --out predictions.parquet",
            f"sensorium evaluate {folder} test.csv",
            f"sensorium fit --recipe {folder / 'recipe.yaml'} --out {folder}-again",
        ]


def _repeated(table: Table, ids: dict[str, np.ndarray]) -> Iterator[str]:
    """A sentence on each input of pictures that stand in several records."""
    for spec in table.schema.inputs:
        known = ids[spec.name][ids[spec.name] != 0] if spec.modality == "image" else []
        if len(set(known)) < len(known):
            yield (
                f"The {len(known):,} records ask about {len(set(known)):,} pictures of '{spec.name}'; with --group"
                f" {spec.name} all records of one stay on one side, and intervals count pictures."
            )
