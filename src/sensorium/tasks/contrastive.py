"""Bringing inputs together: what `pretrain` trains, validates and reports."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from rich.console import RenderableType
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import nn

from sensorium.build.beginning import load_pretrained, restore_objective_state
from sensorium.build.model import build_encoders
from sensorium.build.objectives import check_objectives, objective_sentences, with_objectives
from sensorium.config.schema import Recipe
from sensorium.console import Console, StepCallback
from sensorium.data.records import Records
from sensorium.data.schema import MEDIA
from sensorium.data.table import Table
from sensorium.errors import UserError, counted
from sensorium.evaluation.embedding import Checked, embed_batches
from sensorium.evaluation.reranking import BEST, matcher
from sensorium.evaluation.retrieval import RetrievalReport, retrieval_report
from sensorium.families.family import Family
from sensorium.inference.preview import sample_retrievals
from sensorium.model import Model
from sensorium.runs.loaders import evaluation_batches
from sensorium.tasks.aligned import check_contrastive, encoder_settings, open_table
from sensorium.tasks.base import Source
from sensorium.tasks.chance import ChanceLoss, ChanceLossWarning
from sensorium.tasks.previous_run import FilteredRecords
from sensorium.tasks.splits import Split
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation
from sensorium.training.retrieval_validation import retrieval_validator

if TYPE_CHECKING:
    from sensorium.runs.stages import RunContext


MOST, MOST_FUSED = 50_000, 5_000  # records that retrieval is scored among at the end


class ContrastiveTask:
    """A family's model, whose inputs find each other."""

    names = "columns, as --image photo --text caption"
    inherits = False

    def __init__(self, name: str, family: Family):
        self.name, self.family = name, family

    def base(self, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """What is given, over the family's own settings of training."""
        family = dict(given.get("family") or {}) | {"name": self.name}
        asked = self.family.Settings(name=self.name, size=options.get("size") or family.get("size"))
        goes_on = (options.get("start_from") or given.get("start_from")) is not None
        training = self.family.training_defaults(asked, goes_on) | (given.get("training") or {})
        return given | {"family": family, "training": training}

    def check(self, recipe: Recipe, folder: Path) -> None:
        """A recipe of inputs that are aligned, without any target."""
        check_contrastive(recipe, folder)
        self.family.towers(recipe.family)

    def open(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """As Task says."""
        table, recipe = open_table(records, recipe, self.family, console)
        self._pairs(table, recipe)
        check_objectives(table, recipe)
        return table, recipe

    def sort_out(self, table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console) -> FilteredRecords:
        """All of the records, for what another training was tested on is not known.

        Raises UserError when no record has both inputs of a pair.
        """
        for a, b in self._pairs(table, recipe):
            if not _together(ids, a, b):
                raise UserError(
                    f"None of the {counted(len(table), 'record')} of {table.source} has both '{a}' and '{b}'; bring"
                    " some that do, or align others."
                )
        return FilteredRecords(table, ids, None, None)

    def together(self, table: Table, ids: dict[str, np.ndarray], console: Console) -> np.ndarray | None:
        """Records of one picture, or one of other media, stay on one side: several captions of it are usual."""
        if table.schema.group is not None:
            return None
        groups = sharing([ids[spec.name] for spec in table.schema.inputs if spec.modality in MEDIA])
        if groups is not None:
            console.print(
                f"Records that share a file stay on one side of every split: {counted(len(table), 'record')} in"
                f" {counted(int(groups.max()) + 1, 'group')}."
            )
        return groups

    def check_parts(self, split: dict[str, Split], recipe: Recipe) -> None:
        """Every pair of inputs has records in every part, and in training more than one."""
        for part in split.values():
            for a, b in self._pairs(part.table, recipe):
                count, needed = _together(part.ids, a, b), 1 if part.name in ("validation", "test") else 2
                if count < needed:
                    raise UserError(
                        f"Of the {counted(len(part.table), 'record')} of the {part.name} part of {part.table.source}"
                        f" {count or 'none'} has both '{a}' and '{b}', and {needed} or more are needed; bring more that"
                        " do, or split otherwise."
                    )

    def begin(self, table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
        """The family's model around the towers, or the one that training goes on with."""
        torch.manual_seed(recipe.seed)
        schema = table.schema.model_copy(update={"targets": []})
        if recipe.start_from is not None:
            model = load_pretrained(schema, recipe)
            self.family.continue_from(recipe.family, model)
            return model
        pooled = self.family.reads == "pooled"
        encoders = build_encoders(table, encoder_settings(table, recipe, self.family), facts, pooled)
        return self.family.build_model(recipe.family, encoders, schema)

    def objectives(self, model: Model, recipe: Recipe, steps: int) -> list[nn.Module]:
        """The family's, but for pairs of which the recipe says otherwise; a teacher and a queue go on where those of
        the run stood that this one begins with.
        """
        found = with_objectives(model, recipe, self.family.objectives(recipe.family, model, steps))
        if recipe.start_from is not None:
            restore_objective_state(found, model.schema, recipe)
        return found

    def validator(
        self, split: dict[str, Split], records: Records, recipe: Recipe, accelerator: Accelerator
    ) -> Callable[[Learner], Validation]:
        """Retrieval between the pairs of inputs."""
        pairs, chance = self._pairs(records.table, recipe), self._chance(split, recipe)
        return retrieval_validator(records, pairs, chance and chance.of_an_epoch, accelerator)

    def calibrate(self, model: Model, records: Records) -> None:
        """Nothing."""

    def sentences(self, model: Model, split: dict[str, Split], recipe: Recipe) -> list[str]:
        """Which inputs are aligned, and what the loss is before anything is learned."""
        train = split["train"]
        pairs = self._pairs(train.table, recipe)
        shown = "; ".join(
            f"'{a}' with '{b}' ({counted(_together(train.ids, a, b), 'training record')})" for a, b in pairs
        )
        chance = self._chance(split, recipe)
        said = [] if chance is None else [chance.sentence]
        said += self.family.chance_sentences(recipe.family, model, recipe.training.batch_size)
        return [f"Aligned: {shown}.", *said, *objective_sentences(model, recipe)]

    def watched(self, report: StepCallback, split: dict[str, Split], context: "RunContext") -> StepCallback:
        """`report`, and a warning when the loss stays where it began."""
        chance = self._chance(split, context.recipe)
        return (
            report
            if chance is None
            else ChanceLossWarning(report, chance, context.recipe.training.epochs, context.console)
        )

    def report(
        self, scored: Model, part: Split, records: Records, context: "RunContext", seconds: float, saved: Model
    ) -> RetrievalReport:
        """Retrieval in both directions of every pair, among 50,000 records at most, for its work grows with their
        square; ranked anew too where the model has a head for that, among 5,000 then, as each fuses 16 pairs and more.
        """
        rows, again = np.arange(len(records)), None if matcher(scored) is None else BEST
        most = MOST if again is None else MOST_FUSED
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(context.recipe.seed).permutation(len(rows))[:most])
            context.console.print(f"Retrieval is scored among {most:,} of the {len(records):,} {part.name} records.")
        known = Checked(part.table.take(rows), {name: ids[rows] for name, ids in part.ids.items()}, [])
        vectors = embed_batches(scored, evaluation_batches(records, scored, rows))
        pairs = [pair for pair in self._pairs(part.table, context.recipe) if _together(known.ids, *pair)]
        report = retrieval_report(scored, known, vectors, pairs, context.recipe.seed, rerank=again)
        return replace(report, cost=report.cost | {"train_seconds": seconds})

    def closing(self, model: Model, part: Split, context: "RunContext") -> tuple[list[RenderableType], list[str]]:
        """What a few records find, and what a shared space is for."""
        kinds, folder = {spec.modality for spec in part.table.schema.inputs}, context.folder
        source, index = "pictures/" if "image" in kinds else "new.csv", f"{folder.name}.lance"
        anew = "" if matcher(model) is None else f" --rerank {BEST}"
        commands = [f"sensorium evaluate {folder} test.csv --task retrieval{anew}"]
        if "text" in kinds:
            commands.append(f'sensorium classify {folder} {source} --labels "one thing,another"')
        commands.append(f"sensorium index {folder} {source} --out {index}")
        return [sample_retrievals(model, part, self._pairs(part.table, context.recipe)[0])], commands

    def _pairs(self, table: Table, recipe: Recipe) -> list[tuple[str, str]]:
        return self.family.pairs(recipe.family, {spec.name: spec.modality for spec in table.schema.inputs})

    def _chance(self, split: dict[str, Split], recipe: Recipe) -> ChanceLoss | None:
        """What the family's losses are at chance; None where the recipe has others, or weighs them."""
        loss = self.family.contrastive_loss(recipe.family)
        if recipe.objectives or recipe.loss_weights != "fixed" or loss is None:
            return None
        train = split["train"]
        together = [_together(train.ids, a, b) for a, b in self._pairs(train.table, recipe)]
        return ChanceLoss(loss, together, len(train.table), recipe.training.batch_size, _alike(train.table))


def _alike(table: Table) -> float:
    """The share of the pairs of different records that have one label."""
    if not table.schema.targets or len(table) < 2:
        return 0.0
    counts = pd.Series(table.cells(table.schema.targets[0].name, "class")).value_counts().to_numpy(float)
    return float((counts * (counts - 1)).sum() / (len(table) * (len(table) - 1)))


def sharing(ids: list[np.ndarray]) -> np.ndarray | None:
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


def _together(ids: dict[str, np.ndarray], a: str, b: str) -> int:
    """How many records have both inputs; ids by input, int64 [N], 0 where it is absent."""
    return int(((ids[a] != 0) & (ids[b] != 0)).sum())
