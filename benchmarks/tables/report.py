"""The summary of the cells that have run."""

from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.scores import difference, fold_average, score
from benchmarks.tables.sources import GROUP, Table, read_cells
from benchmarks.tables.systems import BASELINES, prediction_path

from sensorium.metrics import Metric, Value

OURS = "ours"


class TableScores:
    """What every system reached on one table: its cells' folds and predictions, read when asked for."""

    def __init__(self, table: Table, cells: pd.DataFrame, work: Path):
        self.table, self.work = table, work
        of_table = cells["table"] == table.name
        self.cells, self.failed = cells[of_table & (cells["status"] == 0)], cells[of_table & (cells["status"] != 0)]
        folder = work / "tables" / table.name
        self.rows, self.folds = read_cells(folder / "table.csv"), np.load(folder / "folds.npy")

    def folds_of(self, system: str) -> set[int]:
        """The folds that a system has finished."""
        return set(self.cells.loc[self.cells["system"] == system, "fold"])

    def metric(self, system: str, baseline: str | None, folds: list[int]) -> Metric:
        """The table's measure of a system, or of one baseline, on these folds."""
        paths = [prediction_path(self.work, self.table.name, system, fold) for fold in folds]
        frames = [pd.read_csv(path / f"{baseline}.csv" if baseline else path) for path in paths]
        tested = np.isin(self.folds, folds)
        truth = self.rows[self.table.target].to_numpy(str)[tested]
        return fold_average(self.table.measure, truth, frames, self.folds[tested])

    def score(self, system: str, folds: list[int] | None = None) -> float:
        """The table's measure of a system on these folds, or on all that it has finished."""
        folds = sorted(self.folds_of(system)) if folds is None else folds
        return score(self.metric(system, None, folds), int(np.isin(self.folds, folds).sum()))

    def seconds(self, system: str, fold: int) -> float:
        """Processor seconds of fit and prediction."""
        cells = self.cells[(self.cells["system"] == system) & (self.cells["fold"] == fold)]
        return float(cells["processor_seconds"].iloc[0])

    def best_baseline(self, folds: list[int]) -> str:
        """The baseline that is best on these folds."""
        paths = sorted(prediction_path(self.work, self.table.name, BASELINES, folds[0]).glob("*.csv"))
        count = int(np.isin(self.folds, folds).sum())
        return max((path.stem for path in paths), key=lambda name: score(self.metric(BASELINES, name, folds), count))

    def compare(self, system: str) -> dict | None:
        """Ours and a system on the folds that both have finished; None without one."""
        folds = sorted(self.folds_of(OURS) & self.folds_of(system))
        if not folds:
            return None
        baseline = self.best_baseline(folds) if system == BASELINES else None
        tested = np.isin(self.folds, folds)
        count = int(tested.sum())
        groups = self.rows[GROUP].to_numpy(str)[tested] if GROUP in self.rows else None
        ours, peer = self.metric(OURS, None, folds), self.metric(system, baseline, folds)
        gain = difference(ours, peer, count, groups)
        values = {"ours": score(ours, count), "peer": score(peer, count), "folds": len(folds)}
        return values | {"name": baseline or system, "gain": gain} | verdicts(gain, self.table.measure.tolerance)

    def costs(self, system: str) -> str:
        """Mean seconds of fit and prediction, processor seconds, gigabytes; how many fits were over the limit."""
        cells, failed = (frame[frame["system"] == system] for frame in (self.cells, self.failed))
        if cells.empty:
            return "-" if failed.empty else "failed"
        over = f", {int(cells['exceeded'].sum())} over" if cells["exceeded"].any() else ""
        mean = cells[["seconds", "predict_seconds", "processor_seconds"]].mean()
        fit, predict, processor = mean.round().astype(int)
        over += f", {len(failed)} failed" if len(failed) else ""
        return f"{fit}+{predict} s, cpu {processor} s, {cells['megabytes'].max() / 1000:.1f} GB{over}"


def verdicts(gain: Value, tolerance: float) -> dict[str, bool]:
    """Whether ours is above the peer, is not below by more than the tolerance, is below: each by the whole interval."""
    low, high = (-np.inf, np.inf) if gain.low is None else (gain.low, gain.high)
    return {"above": low > 0, "not_below": low > -tolerance, "below": high < 0}


def print_report(tables: list[Table], cells: pd.DataFrame, work: Path, systems: list[str]) -> None:
    """A block a table, then how often ours is above and not below each system."""
    verdict_rows = []
    for table in tables:
        scores = TableScores(table, cells, work)
        print(f"{table.name} ({table.measure.name}, {len(scores.rows)} rows)")
        for system in systems:
            compared = None if system == OURS else scores.compare(system)
            if compared:
                verdict_rows.append({"system": system, **compared})
            print(f"  {system:<21}{comparison_text(compared)}{scores.costs(system)}")
    counts = pd.DataFrame(verdict_rows, columns=["system", "above", "not_below"]).groupby("system", sort=False)
    for system, verdict in counts:
        above, not_below = verdict["above"].sum(), verdict["not_below"].sum()
        print(f"ours against {system}: not below on {not_below}, above on {above} of {len(verdict)} tables")


def comparison_text(compared: dict | None) -> str:
    """Both scores, the paired difference with its interval, the verdict; blank where there is nothing to compare."""
    if compared is None:
        return ""
    gain = compared["gain"]
    interval = "no interval" if gain.low is None else f"[{gain.low:+.3f}, {gain.high:+.3f}]"
    verdict = next((name for name in ("above", "not_below", "below") if compared[name]), "undecided")
    scores = f"{compared['peer']:.3f} (ours {compared['ours']:.3f}, folds: {compared['folds']}; {compared['name']})"
    return f"{scores} ours {gain.value:+.3f} {interval} {verdict.replace('_', ' ')}; "
