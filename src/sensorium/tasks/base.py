"""What differs between the kinds of runs: which model, which objectives, which validation, which report."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from accelerate import Accelerator
from rich.console import RenderableType
from torch import nn

from sensorium.config.schema import Recipe
from sensorium.console import Console, StepCallback
from sensorium.data.records import Records
from sensorium.data.table import Table
from sensorium.evaluation import Report
from sensorium.model import Model
from sensorium.tasks.previous_run import FilteredRecords
from sensorium.tasks.splits import Split
from sensorium.training.learner import Learner
from sensorium.training.loop import Validation

if TYPE_CHECKING:
    from sensorium.runs.stages import RunContext

Source = Table | pd.DataFrame | list[dict] | str | Path | None


class Task(Protocol):
    """A kind of run. All else of a run is the same for every kind."""

    names: str
    """What has to be named beside the table."""
    inherits: bool
    """Whether a run that goes on from another takes that one's settings."""

    def base(self, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """A recipe's nested settings as `given`, with what lies under them; `options` come over both."""

    def check(self, recipe: Recipe, folder: Path) -> None:
        """Sees to it that a recipe is one of this kind, for a run in `folder`. Raises UserError."""

    def open(self, records: Source, recipe: Recipe, console: Console) -> tuple[Table, Recipe]:
        """The table to learn from, and the recipe with its file and columns filled in. Raises UserError."""

    def sort_out(self, table: Table, ids: dict[str, np.ndarray], recipe: Recipe, console: Console) -> FilteredRecords:
        """The records without those that a run which is gone on from has been tested on."""

    def together(self, table: Table, ids: dict[str, np.ndarray], console: Console) -> np.ndarray | None:
        """int64 [N], equal for records that a split keeps on one side; None when each may stand for itself."""

    def check_parts(self, split: dict[str, Split], recipe: Recipe) -> None:
        """Sees to it that there is something to learn from, and to choose by. Raises UserError."""

    def begin(self, table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
        """The untrained model for a training table."""

    def objectives(self, model: Model, recipe: Recipe, steps: int) -> list[nn.Module]:
        """What it learns by; `steps`: of the optimiser, in an epoch."""

    def validator(
        self, split: dict[str, Split], records: Records, recipe: Recipe, accelerator: Accelerator
    ) -> Callable[[Learner], Validation]:
        """The look at the validation `records` that chooses the epoch."""

    def calibrate(self, model: Model, records: Records) -> None:
        """What is chosen on the validation `records` once training is over."""

    def sentences(self, model: Model, split: dict[str, Split], recipe: Recipe) -> list[str]:
        """What is said of the plan before training."""

    def watched(self, report: StepCallback, split: dict[str, Split], context: "RunContext") -> StepCallback:
        """`report`, the hook that hears of every step, with an eye on how training goes."""

    def report(
        self, scored: Model, part: Split, records: Records, context: "RunContext", seconds: float, saved: Model
    ) -> Report:
        """How good the model `scored` is on a `part`, which `records` reads; the one `saved` may have learned more."""

    def closing(self, model: Model, part: Split, context: "RunContext") -> tuple[list[RenderableType], list[str]]:
        """What is shown after the report, and the commands that may follow."""
