"""The systems, as commands: each fits one fold of one table in a process of its own, and predicts in another."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from benchmarks.tables.scores import NUMBER
from benchmarks.tables.sources import FEW_ROWS, GROUP, Table, fold_of_rows, read_cells

SHORT_LIMIT, LONG_LIMIT = 120, 300  # seconds of a fit of a table of under FEW_ROWS rows, and of a larger one


class Settings(NamedTuple):
    """The working folder, that of the data packages, the Pythons of the environments, the weights by encoder."""

    work: Path
    packages: Path
    scratch_python: str | None
    autogluon_python: str | None
    weights: dict[str, str]


class Cell(NamedTuple):
    """One fit: a system on one fold of a table of `count` rows."""

    table: Table
    system: str
    fold: int
    count: int
    settings: Settings

    @property
    def folder(self) -> Path:
        """That of the table and its folds."""
        return self.settings.work / "tables" / self.table.name

    @property
    def run(self) -> Path:
        """What the system writes; removed after the cell."""
        return self.settings.work / "runs" / f"{self.table.name}-{self.system}-{self.fold}"

    @property
    def out(self) -> Path:
        """The predictions: a file, or a folder of one file a baseline."""
        return prediction_path(self.settings.work, self.table.name, self.system, self.fold)

    @property
    def limit(self) -> int:
        """Seconds that the fit may take."""
        return SHORT_LIMIT if self.count < FEW_ROWS else LONG_LIMIT

    @property
    def log(self) -> Path:
        """What the commands print."""
        return self.settings.work / "logs" / f"{self.run.name}.txt"


class System(NamedTuple):
    """`python`: of which environment, None where none was named; `applies`: to which tables; `commands`: of the fit,
    and of the prediction unless the fit predicts; `collect`: brings the predictions into the form of `scores`.
    """

    python: Callable[[Settings], str | None]
    commands: Callable[[Cell, str], list[list[str]]]
    applies: Callable[[Table], bool] = lambda table: True
    collect: Callable[[Cell], None] = lambda cell: None


def prediction_path(work: Path, table: str, system: str, fold: int) -> Path:
    """The predictions of a cell: a file, of the baselines a folder."""
    name = f"{system}-{fold}" + ("" if system == BASELINES else ".csv")
    return work / "predictions" / table / name


def write_folds(table: Table, rows: pd.DataFrame, folder: Path) -> None:
    """Writes train-K.csv and test-K.csv of every fold K, the test rows without target and group."""
    if (folder / "folds.npy").exists():
        return
    folds = fold_of_rows(table, rows)
    for fold in np.unique(folds):
        rows[folds != fold].to_csv(folder / f"train-{fold}.csv", index=False)
        test = rows[folds == fold].drop(columns=[table.target, GROUP], errors="ignore")
        test.to_csv(folder / f"test-{fold}.csv", index=False)
    np.save(folder / "folds.npy", folds)


def specification(cell: Cell, multimodal: bool = False) -> Path:
    """Writes what a worker in another process has to know of the cell; gives the file."""
    table = cell.table
    content = {
        "table": table.name, "fold": cell.fold, "target": table.target, "classes": table.measure.classes,
        "measure": table.measure.name, "pictures": list(table.pictures), "sounds": list(table.sounds),
        "folder": str(cell.folder), "run": str(cell.run), "out": str(cell.out), "limit": cell.limit,
        "packages": str(cell.settings.packages), "weights": cell.settings.weights, "multimodal": multimodal,
    }  # fmt: skip
    path = cell.settings.work / "logs" / f"{cell.run.name}.json"
    path.write_text(json.dumps(content, indent=1))
    return path


def sensorium_commands(cell: Cell, python: str, preset: str | None = None) -> list[list[str]]:
    """`fit` with nothing but target and group, and a preset where one is named, and `predict`."""
    kind = "class" if cell.table.measure.classes else "number"
    train, test = (str(cell.folder / f"{name}-{cell.fold}.csv") for name in ("train", "test"))
    cli = [python, "-m", "sensorium.cli"]
    fit = [*cli, "fit", train, "--target", f"{cell.table.target}={kind}", "--out", str(cell.run), "--overwrite"]
    if GROUP in read_cells(Path(train)):
        fit += ["--group", GROUP]
    if preset is not None:
        fit += ["--preset", preset]
    predict = [*cli, "predict", str(cell.run), test, "--bad-records", "absent", "--out", f"{cell.run}.csv"]
    return [fit, predict]


def collect_sensorium(cell: Cell) -> None:
    """Keeps the probability of each label, or the number."""
    written = Path(f"{cell.run}.csv")
    read_predictions(cell.table, written).to_csv(cell.out, index=False)
    written.unlink()


def read_predictions(table: Table, written: Path) -> pd.DataFrame:
    """What `predict` has written, as the measures take it."""
    frame = pd.read_csv(written)
    if not table.measure.classes:
        return frame[[table.target]].rename(columns={table.target: NUMBER})
    prefix = f"{table.target}_probability_"
    return frame.filter(regex=f"^{prefix}").rename(columns=lambda name: name.removeprefix(prefix))


def autogluon_commands(cell: Cell, python: str, multimodal: bool) -> list[list[str]]:
    """Fit and predict by the worker."""
    worker = str(Path(__file__).with_name("autogluon_worker.py"))
    path = str(specification(cell, multimodal))
    return [[python, "-E", worker, step, path] for step in ("fit", "predict")]


def baseline_commands(cell: Cell, python: str) -> list[list[str]]:
    """One process for all baselines."""
    return [[python, "-m", "benchmarks.tables.baselines", str(specification(cell))]]


def this_python(settings: Settings) -> str:
    """The Python that runs the benchmark."""
    return sys.executable


BASELINES = "baselines"
PRESETS = ("fast", "best")  # beside the usual one, "good", which a fit has without an option
SYSTEMS = {
    "ours": System(this_python, sensorium_commands, collect=collect_sensorium),
    "ours-scratch": System(lambda settings: settings.scratch_python, sensorium_commands, collect=collect_sensorium),
    **{
        f"ours-{preset}": System(this_python, partial(sensorium_commands, preset=preset), collect=collect_sensorium)
        for preset in PRESETS
    },
    BASELINES: System(this_python, baseline_commands),
    "autogluon-tabular": System(
        lambda settings: settings.autogluon_python,
        lambda cell, python: autogluon_commands(cell, python, False),
        lambda table: not table.only_media,
    ),
    "autogluon-multimodal": System(
        lambda settings: settings.autogluon_python,
        lambda cell, python: autogluon_commands(cell, python, True),
        lambda table: bool(table.pictures or table.texts),
    ),
}
