"""Whether a model without one of its inputs decides as well as one that never had it.

    python -m benchmarks.tables.absent --work WORK [--table nodules] [--fold 0]

WORK is the folder in which `python -m benchmarks.tables` has made the table. One fit has all inputs (the columns of
numbers, categories and dates are one), and for each input there is one that never saw it. Printed by input: the measure
of the model of all on test records from which the input was taken, that of the model that never had it, and the
difference with its interval, paired.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.scores import difference, score
from benchmarks.tables.sources import GROUP, TABLES, Table, read_cells
from benchmarks.tables.systems import read_predictions

import sensorium


def run_verb(*words: str | Path) -> None:
    """One command of the command line."""
    subprocess.run([sys.executable, "-m", "sensorium.cli", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def predictions(table: Table, run: Path, test: Path, absent: list[str]) -> pd.DataFrame:
    """What a run says of the records of `test` without the columns `absent`, which are left empty."""
    emptied = test.with_name(f"absent-{test.name}")
    read_cells(test).assign(**dict.fromkeys(absent, "")).to_csv(emptied, index=False)
    run_verb("predict", run, emptied, "--out", f"{run}.csv")
    emptied.unlink()
    return read_predictions(table, Path(f"{run}.csv"))


def fit(table: Table, train: Path, run: Path, ignored: list[str]) -> None:
    """A run that never had the columns `ignored`."""
    kind = "class" if table.measure.classes else "number"
    words: list[str | Path] = ["fit", train, "--target", f"{table.target}={kind}", "--out", run, "--overwrite"]
    if GROUP in read_cells(train):
        words += ["--group", GROUP]
    run_verb(*words, *(word for column in ignored for word in ("--column", f"{column}=ignored")))


def main() -> None:
    """Fits, predicts, and prints a line an input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--table", default="nodules")
    parser.add_argument("--fold", type=int, default=0)
    arguments = parser.parse_args()
    table = next(table for table in TABLES if table.name == arguments.table)
    folder, runs = arguments.work / "tables" / table.name, arguments.work / "runs"
    train, test = (folder / f"{name}-{arguments.fold}.csv" for name in ("train", "test"))
    tested = np.load(folder / "folds.npy") == arguments.fold
    rows = read_cells(folder / "table.csv")[tested]
    truth, groups = rows[table.target].to_numpy(str), rows[GROUP].to_numpy(str) if GROUP in rows else None
    whole = runs / f"{table.name}-absent"
    fit(table, train, whole, [])
    for spec in sensorium.load(whole).schema.inputs:
        single = runs / f"{table.name}-without-{spec.name}"
        fit(table, train, single, spec.columns)
        metrics = [
            table.measure.metric(truth, predictions(table, run, test, absent))
            for run, absent in ((whole, spec.columns), (single, []))
        ]
        gain = difference(*metrics, len(truth), groups)
        without, never = (score(metric, len(truth)) for metric in metrics)
        print(
            f"{table.name} without {spec.name}, {table.measure.name}: {without:.3f} of the model of all, {never:.3f} of"
            f" one that never had it; {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
