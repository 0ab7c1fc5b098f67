"""Bringing inputs together: what `pretrain` trains, validates and reports."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import nn

from sensorium.build.model import build_encoders, check_inputs, check_sampling
from sensorium.build.objectives import check_objectives, objective_sentences, with_objectives
from sensorium.build.pretrained import load_pretrained, pretrained_inputs, restore_objective_state
from sensorium.config.schema import InputSettings, Recipe
from sensorium.console import Console, StepCallback
from sensorium.data.infer_schema import infer_schema
from sensorium.data.label_texts import with_label_texts
from sensorium.data.read import print_read, read
from sensorium.data.records import Records
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.errors import UserError, counted
from sensorium.evaluation.embedding import Checked, embed_batches
from sensorium.evaluation.reranking import BEST, matcher
from sensorium.evaluation.retrieval import RetrievalReport, retrieval_report
from sensorium.families import FAMILIES
from sensorium.families.chance_loss import ChanceLoss, ChanceLossWarning
from sensorium.families.family import Tower
from sensorium.heads.ensemble import Judged
from sensorium.inference.preview import sample_retrievals
from sensorium.model import Model, load
from sensorium.tasks.base import Closing, Facts, RunContext, Source
from sensorium.tasks.previous_run import FilteredRecords, PreviousRun
from sensorium.tasks.splits import Split
from sensorium.training.experts import Learned
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation
from sensorium.training.retrieval_validation import retrieval_validator

MOST, MOST_FUSED = 50_000, 5_000  # records that retrieval is scored among at the end
OWN_KINDS = ("target", "ignored")  # of columns of a table that was read, which are no inputs


class ContrastiveTask:
    """A family's model, whose inputs find each other."""

    names = "columns, as --image photo --text caption"
    inherits = False

    def __init__(self, family: str):
        self.name, self.family = family, FAMILIES[family]
        self.old: Model | None = None  # the trained model that training goes on with

    def base(self, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """What is given, over the family's own settings of training."""
        family = dict(given.get("family") or {}) | {"name": self.name}
        asked = self.family.Settings(name=self.name, size=options.get("size") or family.get("size"))
        goes_on = (options.get("start_from") or given.get("start_from")) is not None
        training = self.family.training_defaults(asked, goes_on) | (given.get("training") or {})
        return given | {"family": family, "training": training}

    def check(self, recipe: Recipe, folder: Path) -> None:
        """A recipe of inputs that are aligned, without any target."""
        _check_recipe(recipe, folder)
        self.family.towers(recipe.family)

    def open(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """As Task says. Prints what was understood."""
        table, recipe = self._open_table(records, recipe, console)
        self._pairs(table, recipe)
        check_objectives(table, recipe)
        return table, recipe

    def drop_previous_test(
        self, table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console
    ) -> FilteredRecords:
        """All of the records, for what another training was tested on is not known.

        Raises UserError when no record has both inputs of a pair.
        """
        for a, b in self._pairs(table, recipe):
            if not _count_pairs(ids, a, b):
                raise UserError(
                    f"None of the {counted(len(table), 'record')} of {table.source} has both '{a}' and '{b}'; bring"
                    " some that do, or align others."
                )
        return FilteredRecords(table, ids, None, None)

    def keep_together(self, table: Table, ids: dict[str, np.ndarray], console: Console) -> np.ndarray | None:
        """Records of one picture, or one of other media, stay on one side: several captions of it are usual."""
        if table.schema.group is not None:
            return None
        groups = group_by_content([ids[spec.name] for spec in table.schema.inputs if spec.modality in MEDIA])
        if groups is not None:
            console.print(
                f"Records that share a file stay on one side of every split: {counted(len(table), 'record')} in"
                f" {counted(int(groups.max()) + 1, 'group')}."
            )
        return groups

    def check_splits(self, splits: dict[str, Split], recipe: Recipe) -> None:
        """Every pair of inputs has records in every split, and in training more than one."""
        for split in splits.values():
            for a, b in self._pairs(split.table, recipe):
                count, needed = _count_pairs(split.ids, a, b), 1 if split.name in ("validation", "test") else 2
                if count < needed:
                    raise UserError(
                        f"Of the {counted(len(split.table), 'record')} of the {split.name} part of"
                        f" {split.table.source} {count or 'none'} has both '{a}' and '{b}', and {needed} or more are"
                        " needed; bring more that do, or split otherwise."
                    )

    def initial_model(self, table: Table, recipe: Recipe, facts: Facts) -> Model:
        """The family's model around the towers, or the one that training goes on with."""
        torch.manual_seed(recipe.seed)
        schema = table.schema.model_copy(update={"targets": []})
        if recipe.start_from is not None:
            model = load_pretrained(schema, recipe, self._old_model(recipe))
            self.family.continue_from(recipe.family, model)
            return model
        summary_only = self.family.reads == "pooled"
        texts = table.schema.inputs_of("text")
        table = with_label_texts(table, texts) if self.family.labels_are_texts else table
        encoders = build_encoders(table, self._encoder_settings(table, recipe), facts, summary_only)
        return self.family.build_model(recipe.family, encoders, schema)

    def objectives(self, model: Model, recipe: Recipe, steps: int) -> list[nn.Module]:
        """The family's, but for pairs of which the recipe says otherwise; a teacher and a queue go on where those of
        the run stood that this one begins with.
        """
        objectives = with_objectives(model, recipe, self.family.objectives(recipe.family, model, steps))
        if recipe.start_from is not None:
            restore_objective_state(objectives, model.schema, recipe)
        return objectives

    def validator(
        self, splits: dict[str, Split], records: Records, recipe: Recipe, accelerator: Accelerator
    ) -> Callable[[Learner], Validation]:
        """Retrieval between the pairs of inputs."""
        pairs, chance = self._pairs(records.table, recipe), self._chance_loss(splits, recipe)
        return retrieval_validator(records, pairs, chance and chance.of_an_epoch, accelerator)

    def learn_experts(
        self, model: Model, split: Split, records: Records, context: RunContext, like: Model | None = None
    ) -> Learned:
        """None: what aligns inputs decides on no target."""
        return Learned(None, 0.0)

    def cross_fits(self, model: Model, recipe: Recipe) -> bool:
        """Never."""
        return False

    def judge(self, model: Model, records: Records) -> dict[str, Judged]:
        """Nothing: no model of another fold is trained."""
        return {}

    def calibrate(self, model: Model, records: Records, judged: Sequence[dict[str, Judged]] = ()) -> None:
        """Nothing."""

    def sentences(self, model: Model, splits: dict[str, Split], recipe: Recipe) -> list[str]:
        """Which inputs are aligned, and what the loss is before anything is learned."""
        train = splits["train"]
        aligned = "; ".join(
            f"'{a}' with '{b}' ({counted(_count_pairs(train.ids, a, b), 'training record')})"
            for a, b in self._pairs(train.table, recipe)
        )
        chance = self._chance_loss(splits, recipe)
        sentences = [f"Aligned: {aligned}."] + ([] if chance is None else [chance.sentence])
        sentences += self.family.chance_sentences(recipe.family, model, recipe.training.batch_size)
        return sentences + objective_sentences(model, recipe)

    def watch(self, report: StepCallback, splits: dict[str, Split], context: RunContext) -> StepCallback:
        """`report`, and a warning when the loss stays where it began."""
        chance = self._chance_loss(splits, context.recipe)
        epochs = context.recipe.training.epochs
        return report if chance is None else ChanceLossWarning(report, chance, epochs, context.console)

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
    ) -> RetrievalReport:
        """Retrieval in both directions of every pair, among 50,000 records at most, for its work grows with their
        square; reranked too where the model has a head for that, among 5,000 then, as each fuses 16 pairs and more.
        """
        rows, rerank = np.arange(len(records)), None if matcher(scored) is None else BEST
        most = MOST if rerank is None else MOST_FUSED
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(context.recipe.seed).permutation(len(rows))[:most])
            context.console.print(f"Retrieval is scored among {most:,} of the {len(records):,} {split.name} records.")
        checked = Checked(split.table.take(rows), {name: ids[rows] for name, ids in split.ids.items()}, [])
        vectors = embed_batches(scored, records.batches(scored.device, rows))
        pairs = [pair for pair in self._pairs(split.table, context.recipe) if _count_pairs(checked.ids, *pair)]
        report = retrieval_report(scored, checked, vectors, pairs, context.recipe.seed, rerank=rerank)
        return replace(report, cost=report.cost | {"train_seconds": seconds})

    def closing(self, model: Model, split: Split, folder: Path, recipe: Recipe) -> Closing:
        """What a few records find, and what a shared space is for."""
        schema = split.table.schema
        source, index = "pictures/" if schema.inputs_of("image") else "new.csv", f"{folder.name}.lance"
        rerank = "" if matcher(model) is None else f" --rerank {BEST}"
        commands = [f"sensorium evaluate {folder} test.csv --task retrieval{rerank}"]
        if schema.inputs_of("text"):
            commands.append(f'sensorium classify {folder} {source} --labels "one thing,another"')
        commands.append(f"sensorium index {folder} {source} --out {index}")
        pair = self._pairs(split.table, recipe)[0]
        return Closing([sample_retrievals(model, split.table, split.ids, pair)], commands)

    def _old_model(self, recipe: Recipe) -> Model:
        """The model that training goes on with, loaded once and never changed."""
        if self.old is None:
            self.old = load(recipe.start_from)
        return self.old

    def _pairs(self, table: Table, recipe: Recipe) -> list[tuple[str, str]]:
        return self.family.pairs(recipe.family, {spec.name: spec.modality for spec in table.schema.inputs})

    def _chance_loss(self, splits: dict[str, Split], recipe: Recipe) -> ChanceLoss | None:
        """What the family's losses are at chance; None where the recipe has others, or weighs them."""
        loss = self.family.contrastive_loss(recipe.family)
        if recipe.objectives or recipe.loss_weights != "fixed" or loss is None:
            return None
        train = splits["train"]
        pair_counts = [_count_pairs(train.ids, a, b) for a, b in self._pairs(train.table, recipe)]
        return ChanceLoss(loss, pair_counts, len(train.table), recipe.training.batch_size, _alike(train.table))

    def _open_table(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """The table with the inputs that are aligned, and the recipe with its file filled in.

        Raises UserError when there is no table, or a column is missing or cannot be an input, or the recipe does not
        fit.
        """
        data, classes = recipe.data, recipe.family.class_column
        target = {} if classes is None else {classes: "class"}
        if isinstance(records, Table):
            kinds = {column.name: column.kind for column in records.schema.columns if column.name in data.inputs}
            group, key = data.group or records.schema.group, data.key or records.schema.key
            columns = {name: kind for name, kind in kinds.items() if kind not in OWN_KINDS} | data.columns
            table = infer_schema(records, target, group, key, columns, inputs=data.inputs, strict=data.strict)
            stated: dict[str, Any] = {"group": group, "key": key}
        else:
            source = data.source(records)
            table = read(
                source, target, data.group, data.key, data.columns, inputs=data.inputs, strict=data.strict, quiet=True
            )
            stated = data.stated_path(source)
        print_read(table, console)
        _check_columns(table, data.inputs)
        recipe = recipe.model_copy(update={"data": data.model_copy(update=stated)})
        check_sampling(table, recipe)
        if recipe.start_from is None:
            check_inputs(table, self._encoder_settings(table, recipe))
            return table, recipe
        old = self._old_model(recipe)
        sources = pretrained_inputs(table.schema, recipe, old).items()
        pairs = ", ".join(f"its {source} is {name!r}" for name, source in sources)
        console.print(f"Begins with {Path(recipe.start_from)}: {pairs}.")
        family = self.family.continue_from(recipe.family, load_pretrained(table.schema, recipe, old))
        return table, recipe.model_copy(update={"family": family})

    def _encoder_settings(self, table: Table, recipe: Recipe) -> dict[str, InputSettings]:
        """By input, the settings of its encoder: those of the recipe over those of the family's size."""
        towers = self.family.towers(recipe.family)
        return recipe.inputs | {
            spec.name: _over_tower(recipe.inputs.get(spec.name, InputSettings()), towers.get(spec.modality))
            for spec in table.schema.inputs
        }


def _over_tower(settings: InputSettings, tower: Tower | None) -> InputSettings:
    if tower is None or settings.encoder not in (None, tower.encoder):
        return settings
    return settings.model_copy(update={"encoder": tower.encoder, "config": tower.config | settings.config})


def _check_recipe(recipe: Recipe, folder: Path) -> None:
    """Checks that a recipe says what is aligned, and asks for nothing that only targets have. Raises UserError."""
    data, training = recipe.data, recipe.training
    if data.target or recipe.targets:
        raise UserError(
            "Pretraining learns which inputs belong together and has no target; leave it out, or name a column of"
            " classes with --labels."
        )
    if recipe.budget is not None:
        raise UserError("A budget tries settings of a fit; leave it out, and state the epochs instead.")
    if training.sampling == "balanced":
        raise UserError("Balanced sampling is by the classes of a target, and pretraining has none; leave it out.")
    if training.batch_size == 1:
        raise UserError(
            "In a batch of one record there is none to tell it from, so nothing is learned; raise batch_size."
        )
    if not data.inputs:
        raise UserError(
            "Nothing is said to be aligned; name columns, as --image photo --text caption, or --inputs photo,caption."
        )
    if recipe.begin_with is not None:
        raise UserError("begin_with is of a fit; pretraining goes on with what --from names.")
    if recipe.start_from is not None and Path(recipe.start_from).resolve() == folder.resolve():
        raise UserError(f"--from and --out are both {folder}; give the run that goes on a folder of its own.")


def _check_columns(table: Table, named: list[str]) -> None:
    """Every named column is an input, and there is another to align it with."""
    inputs = [spec.name for spec in table.schema.inputs]
    for name in named:
        if not any(name in spec.columns for spec in table.schema.inputs):
            reason = table.schema.column(name).reason
            raise UserError(
                f"Column '{name}' of {table.source} cannot be aligned: {reason}; fill it in or leave it out."
            )
    if len(inputs) < 2:
        raise UserError(
            f"There is nothing to align '{inputs[0]}' with; name a second column, as --text caption or --inputs"
            f" {inputs[0]},caption."
        )


def _alike(table: Table) -> float:
    """The share of the pairs of different records that have one label."""
    if not table.schema.targets or len(table) < 2:
        return 0.0
    counts = pd.Series(table.cells(table.schema.targets[0].name, "class")).value_counts().to_numpy(float)
    return float((counts * (counts - 1)).sum() / (len(table) * (len(table) - 1)))


def group_by_content(ids: list[np.ndarray]) -> np.ndarray | None:
    """int64 [N], a number for each set of records that hang together by equal contents, from 0; None when none do, or
    all.

    ids: of each input, int64 [N], hashes of contents; 0 where it is absent.
    """
    if not ids:
        return None
    count, rows, firsts = len(ids[0]), [], []
    for values in ids:
        present = np.flatnonzero(values)
        _, first, inverse = np.unique(values[present], return_index=True, return_inverse=True)
        rows.append(present)
        firsts.append(present[first[inverse]])
    ones = (np.concatenate(rows), np.concatenate(firsts))
    links = coo_array((np.ones(len(ones[0]), dtype=bool), ones), shape=(count, count))
    groups, labels = connected_components(links, directed=False)
    return None if groups in (1, count) else labels.astype(np.int64)


def _count_pairs(ids: dict[str, np.ndarray], a: str, b: str) -> int:
    """How many records have both inputs; ids by input, int64 [N], 0 where it is absent."""
    return int(((ids[a] != 0) & (ids[b] != 0)).sum())
