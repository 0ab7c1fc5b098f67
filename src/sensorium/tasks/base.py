"""What differs between the kinds of runs: which model, which objectives, which validation, which report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from accelerate import Accelerator
from rich.console import RenderableType
from torch import nn

from sensorium.config.schema import Recipe
from sensorium.console import Console, StepCallback, shorten
from sensorium.data.notebook import LINE, facts_html, show_page
from sensorium.data.records import Records
from sensorium.data.table import Table
from sensorium.evaluation import Report
from sensorium.heads.ensemble import Judged
from sensorium.model import Model
from sensorium.tasks.previous_run import FilteredRecords, PreviousRun
from sensorium.tasks.splits import Split
from sensorium.training.experts import Learned
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation

Source = Table | pd.DataFrame | list[dict] | str | Path | None
Facts = dict[str, dict[str, float]]


@dataclass(frozen=True)
class RunContext:
    """Where a run works and by what settings.

    run_folder: the run's folder. work_folder: where this training keeps its state, a trial's folder while settings are
    tried, else the run's. precision: what is computed in, as `choose_precision` says. callbacks: the user's, called
    after every step and epoch.
    """

    run_folder: Path
    work_folder: Path
    recipe: Recipe
    accelerator: Accelerator
    console: Console
    precision: str = "fp32"
    callbacks: tuple[StepCallback, ...] = ()

    @property
    def features(self) -> Path:
        """The folder of the feature cache."""
        return self.run_folder / "features"


@dataclass
class Run:
    """A finished run: its model, its report, its folder; and whether this process, of several, speaks for all."""

    model: Model
    report: Report
    folder: Path
    speaks: bool = True

    @property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return self.report.to_dict()

    def __repr__(self) -> str:
        return shorten(f"Run in {self.folder}: {self.report!r}", LINE)

    def _repr_html_(self) -> str:
        return facts_html("Run", {"folder": str(self.folder)}) + self.report._repr_html_() + self.model._repr_html_()

    def show(self, browser: bool = False) -> None:
        """Shows report.html: in a notebook below the cell, elsewhere as a link; with `browser` in the browser. Raises
        UserError when it is not there."""
        show_page(self.folder / "report.html", browser)


class Closing(NamedTuple):
    """What is shown after the report, and the commands that may follow."""

    shown: list[RenderableType]
    commands: list[str]


class Task(Protocol):
    """A kind of run. All else of a run is the same for every kind."""

    names: str
    """What has to be named beside the table."""
    inherits: bool
    """Whether a run that goes on from another takes that one's settings."""

    def base(self, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """A recipe's nested settings as `given`, with what lies under them; `options` come over both."""

    def check(self, recipe: Recipe, folder: Path) -> None:
        """Checks that a recipe is one of this kind, for a run in `folder`. Raises UserError."""

    def open(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """The table to learn from, and the recipe with its file and columns filled in. Raises UserError."""

    def drop_previous_test(
        self, table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console
    ) -> FilteredRecords:
        """The records without those that a run which is gone on from has been tested on."""

    def keep_together(self, table: Table, ids: dict[str, np.ndarray], console: Console) -> np.ndarray | None:
        """int64 [N], equal for records that a split keeps on one side; None when each may stand for itself."""

    def check_splits(self, splits: dict[str, Split], recipe: Recipe) -> None:
        """Checks that there is something to learn from, and to choose by. Raises UserError."""

    def initial_model(self, table: Table, recipe: Recipe, facts: Facts) -> Model:
        """The untrained model for a training table; facts: the scan's, by input."""

    def objectives(self, model: Model, recipe: Recipe, steps: int) -> list[nn.Module]:
        """What it learns by; `steps`: of the optimiser, in an epoch."""

    def validator(
        self, splits: dict[str, Split], records: Records, recipe: Recipe, accelerator: Accelerator
    ) -> Callable[[Learner], Validation]:
        """The look at the validation `records` that chooses the epoch."""

    def learn_experts(
        self, model: Model, split: Split, records: Records, context: RunContext, like: Model | None = None
    ) -> Learned:
        """Experts that are not networks and join the model, learned from the `records` of a `split`; like: a model
        whose experts' settings are taken. What the model's training changes makes no difference to them."""

    def cross_fits(self, model: Model, recipe: Recipe) -> bool:
        """Whether models of other folds are trained too, so that all of them say how much each expert
        of `model` decides."""

    def judge(self, model: Model, records: Records) -> dict[str, Judged]:
        """By target, what the model of another fold says of the `records` that it did not learn from."""

    def calibrate(self, model: Model, records: Records, judged: Sequence[dict[str, Judged]] = ()) -> None:
        """What is chosen on the validation `records`, and those `judged` in other folds, once training is over."""

    def sentences(self, model: Model, splits: dict[str, Split], recipe: Recipe) -> list[str]:
        """What is said of the plan before training."""

    def watch(self, report: StepCallback, splits: dict[str, Split], context: RunContext) -> StepCallback:
        """`report`, the callback of every step, with an eye on how training goes."""

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
        """How good the model `scored` is on a `split`, which `records` reads; the one `saved` may have learned more.

        previous: the run that this one goes on from, where it can be told what was forgotten. learned: the records that
        `scored` learned from.
        """

    def closing(self, model: Model, split: Split, folder: Path, recipe: Recipe) -> Closing:
        """What is shown after the report, and the commands that may follow."""
