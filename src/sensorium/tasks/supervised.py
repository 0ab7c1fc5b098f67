"""Learning targets: what `fit` trains, validates and reports."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import nn

from sensorium.build.continual import build_from
from sensorium.build.model import (
    build,
    cached_inputs,
    check_model_settings,
    untrained_inputs,
    with_pictures,
    with_usual_fusion,
)
from sensorium.build.objectives import fitted_by, objective_sentences
from sensorium.build.pretrained import check_pretrained, pretrained_sentences
from sensorium.config.schema import Recipe
from sensorium.console import Console, StepCallback
from sensorium.data.read import print_read, read
from sensorium.data.records import Records
from sensorium.data.schema import MEDIA, Schema
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import UserError
from sensorium.evaluation import Report, evaluate_targets
from sensorium.evaluation.rivals import Training
from sensorium.experts.kinds import EXPERT_KINDS
from sensorium.heads.ensemble import Judged
from sensorium.heads.late import Late
from sensorium.inference.preview import sample_predictions
from sensorium.model import Model, load
from sensorium.tasks.base import Closing, Facts, RunContext, Source
from sensorium.tasks.inherit import check_agrees, inherited_settings, read_new
from sensorium.tasks.previous_run import FilteredRecords, PreviousRun, drop_previous_test, measure_forgetting
from sensorium.tasks.splits import Split
from sensorium.training.experts import Learned, learn_experts
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation
from sensorium.training.validation import calibrate, judge, validator

RESERVED = ("key", "absent")  # columns of every table of predictions


class SupervisedTask:
    """Targets, learned from inputs that a fusion brings together."""

    names = "target"
    inherits = True

    def __init__(self):
        self.old: Model | None = None  # the trained model that the run goes on from or begins with
        # By split and inputs with frozen encoders: the trials of a sweep and its winner share them.
        self.learned: dict[tuple[str, ...], Learned] = {}

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
        if recipe.start_from is not None or recipe.old_table is not None:
            check_agrees(recipe, folder, None if recipe.start_from is None else self._old_schema(recipe))
        if recipe.begin_with is not None:
            check_pretrained(recipe, folder)

    def open(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """As Task says. Prints what was understood."""
        table, recipe = self._open_table(records, recipe, console)
        if recipe.begin_with is not None:
            for sentence in pretrained_sentences(table, recipe, self._old_model(recipe)):
                console.print(sentence)
        return table, recipe

    def drop_previous_test(
        self, table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console
    ) -> FilteredRecords:
        """As Task says."""
        if recipe.start_from is None:
            return FilteredRecords(table, ids, None, None)
        return drop_previous_test(table, ids, recipe, self._old_schema(recipe), console)

    def keep_together(self, table: Table, ids: dict[str, np.ndarray], console: Console) -> np.ndarray | None:
        """None: the user names a group. Says when pictures that are asked about several times are none."""
        asks = any(TARGETS[spec.kind].repeats_inputs for spec in table.schema.targets)
        if asks and table.schema.group is None:
            for sentence in _repeated_pictures(table, ids):
                console.print(sentence)
        return None

    def check_splits(self, splits: dict[str, Split], recipe: Recipe) -> None:
        """Nothing more than `split_records` checks."""

    def initial_model(self, table: Table, recipe: Recipe, facts: Facts) -> Model:
        """As Task says."""
        if recipe.start_from is None and recipe.begin_with is None:
            return build(table, recipe, facts)
        return build_from(self._old_model(recipe), table, recipe, facts)

    def objectives(self, model: Model, recipe: Recipe, steps: int) -> list[nn.Module]:
        """One for each target, what the fusion itself has to learn, and the recipe's own."""
        return fitted_by(model, recipe)

    def validator(
        self, splits: dict[str, Split], records: Records, recipe: Recipe, accelerator: Accelerator
    ) -> Callable[[Learner], Validation]:
        """The headline metric of every target."""
        return validator(records, accelerator)

    def learn_experts(
        self, model: Model, split: Split, records: Records, context: RunContext, like: Model | None = None
    ) -> Learned:
        """As Task says."""
        if not _takes_experts(context.recipe, model):
            return Learned(None, 0.0)
        untrained = untrained_inputs(model, context.recipe)
        key = (split.name, *untrained)
        if like is None and key in self.learned:
            return self.learned[key]._replace(seconds=0.0)
        began = time.monotonic()
        with context.console.spinner("Learning boosted trees and linear models"):
            experts = learn_experts(model, records, untrained, split.together, context.recipe.seed, like)
        learned = Learned(experts, time.monotonic() - began)
        if like is None:
            self.learned[key] = learned
        return learned

    def cross_fits(self, model: Model, recipe: Recipe) -> bool:
        """As the recipe says, where no picture or sound is read in training."""
        cached = cached_inputs(model, recipe)
        cheap = all(encoder.modality not in MEDIA or name in cached for name, encoder in model.encoders.items())
        return model.experts is not None and cheap and bool(recipe.training.cross_fit)

    def judge(self, model: Model, records: Records) -> dict[str, Judged]:
        """The scores of the ensembles."""
        return judge(model, records)

    def calibrate(self, model: Model, records: Records, judged: Sequence[dict[str, Judged]] = ()) -> None:
        """Thresholds, temperatures and weights of the heads."""
        calibrate(model, records, judged)

    def sentences(self, model: Model, splits: dict[str, Split], recipe: Recipe) -> list[str]:
        """What is learned beside the targets."""
        return objective_sentences(model, recipe)

    def watch(self, report: StepCallback, splits: dict[str, Split], context: RunContext) -> StepCallback:
        """`report` alone."""
        return report

    def report(
        self,
        scored: Model,
        split: Split,
        records: Records,
        context: RunContext,
        seconds: float,
        saved: Model,
        previous: PreviousRun | None,
        learned: Records,
    ) -> Report:
        """Every metric, what each input is worth, and what a run that went on has forgotten."""
        batches, seed = records.batches(scored.device), context.recipe.seed
        training = Training(scored, learned, records)
        report = evaluate_targets(
            scored, split.table, batches=batches, seed=seed, train_seconds=seconds, training=training
        )
        if previous is None:
            return report
        old = self._old_model(context.recipe).to(saved.device)
        return replace(report, forgetting=measure_forgetting(previous, old, saved, seed, context.console))

    def closing(self, model: Model, split: Split, folder: Path, recipe: Recipe) -> Closing:
        """A few predictions, and what may be done with the model."""
        commands = [f"sensorium predict {folder} {recipe.data.path or 'new.csv'} --out predictions.csv"]
        return Closing(sample_predictions(model, split.table), commands)

    def _old_model(self, recipe: Recipe) -> Model:
        """The model of the run that is gone on from or begun with, loaded once and never changed."""
        if self.old is None:
            self.old = load(recipe.start_from or recipe.begin_with)
        return self.old

    def _old_schema(self, recipe: Recipe) -> Schema:
        """The schema of the run that is gone on from. Raises UserError when it has none."""
        schema = self._old_model(recipe).schema
        if schema is None:
            raise UserError(
                f"The model in {recipe.start_from} has no schema, so no table can be read for it; fit one from a table."
            )
        return schema

    def _open_table(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """The table, and the recipe with its file, targets, group and key. Raises UserError when there is no table, or
        no target, or the recipe does not fit the table.
        """
        data = recipe.data
        if recipe.start_from is not None and (records is not None or data.path is not None):
            table = read_new(data.source(records), recipe.start_from, self._old_schema(recipe), console)
            stated = {"target": {spec.name: spec.kind for spec in table.schema.targets}} | data.stated_path(records)
        elif isinstance(records, Table):
            table, stated = records, _stated(records, recipe)
        else:
            table = _read(data.source(records), recipe)
            stated = data.stated_path(data.source(records))
            print_read(table, console)
        if not table.schema.targets:
            raise UserError("Nothing is said to be learned; read the table with target=, naming its column.")
        reserved = next((spec.name for spec in table.schema.targets if spec.name in RESERVED), None)
        if reserved:
            raise UserError(
                f"The target is named '{reserved}', as a column of every table of predictions is; rename it."
            )
        table = with_pictures(table, recipe)
        recipe = with_usual_fusion(table, recipe)
        check_model_settings(table, recipe)
        return table, recipe.model_copy(update={"data": data.model_copy(update=stated)})


def _read(source: Source, recipe: Recipe) -> Table:
    """The table of a file or of records given in Python. Raises UserError when nothing is said to be learned."""
    data = recipe.data
    if not data.target:
        raise UserError("Nothing is said to be learned; name the column with --target.")
    named_columns = {*data.columns, *data.target, data.group, data.key, None}
    columns = data.columns | ({} if data.split in named_columns else {data.split: "ignored"})
    return read(
        source, data.target, data.group, data.key, columns, inputs=data.inputs or None, strict=data.strict, quiet=True
    )


def _stated(table: Table, recipe: Recipe) -> dict[str, Any]:
    """What a table that was read already says of itself. Raises UserError when the recipe says otherwise."""
    schema, data = table.schema, recipe.data
    stated = {"target": {spec.name: spec.kind for spec in schema.targets}, "group": schema.group, "key": schema.key}
    asked = {"target": data.target, "group": data.group, "key": data.key}
    differing = [name for name, value in asked.items() if value and _names(value) != _names(stated[name])]
    kinds = {column.name: column.kind for column in schema.columns}
    differing += [f"kind of '{name}'" for name, kind in data.columns.items() if kinds.get(name) not in (kind, "target")]
    if differing:
        raise UserError(
            f"The table was read with another {differing[0]} than fit() is asked for;"
            " state it to read(), which makes the table."
        )
    return stated


def _names(stated: str | dict[str, Any] | None) -> set[str]:
    return {stated} if isinstance(stated, str) else set(stated or ())


def _repeated_pictures(table: Table, ids: dict[str, np.ndarray]) -> Iterator[str]:
    """A sentence on each input of pictures that stand in several records."""
    for spec in table.schema.inputs:
        present = ids[spec.name][ids[spec.name] != 0] if spec.modality == "image" else []
        if len(set(present)) < len(present):
            yield (
                f"The {len(present):,} records ask about {len(set(present)):,} pictures of '{spec.name}'; with --group"
                f" {spec.name} all records of one stay on one side, and intervals count pictures."
            )


def _takes_experts(recipe: Recipe, model: Model) -> bool:
    """Whether experts join the model: where the recipe says so, and the usual heads decide for each input, by a
    product."""
    return bool(recipe.experts) and all(
        isinstance(head, Late) and head.config.combine == "product" and _is_usual(head)
        for _, head in model.heads.items()
    )


def _is_usual(head: Late) -> bool:
    """Whether its experts are of the usual head of a kind that experts other than networks learn, too."""
    return head.kind in EXPERT_KINDS and head.config.head == TARGETS[head.kind].default_head
