"""How often an interval holds the truth: python benchmarks/coverage.py [FILE], a line of JSON a row, also into FILE.

Test sets are simulated: of 10 to 1,000 records, each right with a chance of .5 to 1. `wilson` is the interval that
reports print of a share of right decisions; `bootstrap` the percentiles of 2,000 resamples, which they printed before;
`exact` the coverage of `wilson` by the binomial distribution. `attainable`: whether the coverage of any interval can
lie between 93 and 98 %, for few records take few shares. With `clusters` records stand or fall together.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import binom

from sensorium.metrics import Resamples, interval, measured, share
from sensorium.metrics.shares import share_interval

SETS, RESAMPLES = 1000, 2000
ROWS, ACCURACIES = (10, 30, 100, 1000), (0.5, 0.9, 0.99, 1.0)
CLUSTERED = ((10, 10), (40, 10), (100, 5))  # clusters, records of each
CORRELATION = 0.3  # of the outcomes of a cluster
LOW, HIGH = 0.93, 0.98
EDGE = 1e-9  # an interval's end counts as in it


def simulated(rows: int, clusters: np.ndarray | None, accuracy: float, generator: np.random.Generator) -> np.ndarray:
    """Which of the rows are right, float [rows] of 0 and 1."""
    chance = np.full(rows, accuracy)
    if clusters is not None and accuracy < 1:
        spread = 1 / CORRELATION - 1
        chance = generator.beta(accuracy * spread, (1 - accuracy) * spread, clusters.max() + 1)[clusters]
    return (generator.random(rows) < chance).astype(float)


def coverage(rows: int, count: int | None, accuracy: float, generator: np.random.Generator) -> dict:
    """The shares of SETS intervals that hold the accuracy, and how wide those of reports are on average."""
    clusters = None if count is None else np.repeat(np.arange(count), rows // count)
    resamples, intervals, bootstrapped = Resamples(rows, clusters, RESAMPLES), [], []
    for _ in range(SETS):
        right = simulated(rows, clusters, accuracy, generator)
        intervals.append(measured(share(right), np.array([right.mean()]), resamples)[1:3])
        if clusters is None:  # resamples of right and wrong are binomial
            bootstrapped.append(interval(generator.binomial(rows, right.mean(), RESAMPLES) / rows))
    row = {"records": rows, "clusters": count, "accuracy": accuracy, "wilson": held(intervals, accuracy)}
    row["width"] = round(float(np.diff(np.array(intervals)).mean()), 4)
    if clusters is None:
        counts = np.arange(rows + 1)
        chance = binom.pmf(counts, rows, accuracy)
        ends = np.array([share_interval(right / rows, rows) for right in counts])
        row["bootstrap"] = held(bootstrapped, accuracy)
        row["exact"] = round(float(chance[holds(ends, accuracy)].sum()), 4)
        row["attainable"] = attainable(chance)
    return row


def holds(intervals: np.ndarray, accuracy: float) -> np.ndarray:
    """bool [N]: which of the intervals [N, 2] hold the accuracy."""
    return (intervals[:, 0] <= accuracy + EDGE) & (accuracy <= intervals[:, 1] + EDGE)


def held(intervals: list[tuple[float, float]], accuracy: float) -> float:
    """The share of the intervals that hold the accuracy."""
    return float(holds(np.array(intervals), accuracy).mean())


def attainable(chance: np.ndarray) -> bool:
    """Whether any run of counts has a chance, float [counts], between LOW and HIGH."""
    upto = np.concatenate([[0.0], np.cumsum(chance)])
    runs = upto[None, 1:] - upto[:-1, None]
    return bool(((runs >= LOW) & (runs <= HIGH)).any())


def main(path: Path | None) -> None:
    """Prints every row, and writes all of them into the file."""
    generator, lines = np.random.default_rng(0), []
    worlds = [(rows, None) for rows in ROWS] + [(count * size, count) for count, size in CLUSTERED]
    for rows, count in worlds:
        for accuracy in ACCURACIES:
            lines.append(json.dumps(coverage(rows, count, accuracy, generator)))
            print(lines[-1], flush=True)
    if path is not None:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
