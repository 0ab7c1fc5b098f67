"""How often an interval holds the truth: python benchmarks/coverage.py [FILE], a line of JSON a row, appended to FILE.

Test sets are simulated: of 10 to 1,000 records, each right with a chance of .5 to 1. `wilson` is the interval that
reports print of a share of right decisions, `bootstrap` the percentiles of 2,000 resamples, which they printed before;
`exact` is the coverage of `wilson` by the binomial distribution. With `cluster` records stand or fall together.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import beta, binom

from sensorium.metrics import Resamples, distribution, interval, measured, share
from sensorium.metrics.shares import share_interval

SETS, RESAMPLES = 1000, 2000
ROWS, ACCURACIES = (10, 30, 100, 1000), (0.5, 0.9, 0.99, 1.0)
CLUSTERED = ((10, 10), (40, 10), (100, 5))  # clusters, records of each
CORRELATION = 0.3  # of the outcomes of a cluster
LOW, HIGH = 0.93, 0.98


def covered(accuracy: float, clusters: np.ndarray | None, rows: int, generator: np.random.Generator) -> dict:
    """The shares of SETS intervals that hold the accuracy, and how wide they are on average."""
    held, widths = {"wilson": 0, "bootstrap": 0}, {"wilson": 0.0, "bootstrap": 0.0}
    for index in range(SETS):
        chance = np.full(rows, accuracy)
        if clusters is not None and accuracy < 1:
            spread = 1 / CORRELATION - 1
            drawn = beta.rvs(
                accuracy * spread, (1 - accuracy) * spread, size=clusters.max() + 1, random_state=generator
            )
            chance = drawn[clusters]
        metric = share((generator.random(rows) < chance).astype(float))
        resamples = Resamples(rows, clusters, RESAMPLES, index)
        weighted = distribution({"": metric}, resamples)[""]
        edges = {"wilson": measured(metric, weighted, resamples)[1:3], "bootstrap": interval(weighted)}
        for name, (low, high) in edges.items():
            held[name] += low - 1e-9 <= accuracy <= high + 1e-9
            widths[name] += high - low
    return {name: held[name] / SETS for name in held} | {
        f"{name}_width": round(width / SETS, 4) for name, width in widths.items()
    }


def exact(accuracy: float, rows: int) -> float:
    """The chance that a test set's interval holds the accuracy."""
    counts = np.arange(rows + 1)
    edges = np.array([share_interval(count / rows, rows) for count in counts])
    holds = (edges[:, 0] <= accuracy) & (accuracy <= edges[:, 1])
    return round(float(binom.pmf(counts, rows, accuracy)[holds].sum()), 4)


def attainable(accuracy: float, rows: int) -> bool:
    """Whether any run of counts has a chance between LOW and HIGH, with at most 2.5 % beyond on each side or all of it:
    else no interval's coverage, whatever its form, lies between them."""
    chance = binom.pmf(np.arange(rows + 1), rows, accuracy)
    upto = np.concatenate([[0.0], np.cumsum(chance)])
    runs = upto[None, 1:] - upto[:-1, None]
    return bool(((runs >= LOW) & (runs <= HIGH)).any())


def main(path: Path | None) -> None:
    """Prints every row, and appends it to the file."""
    generator = np.random.default_rng(0)
    worlds = [(rows, None, accuracy) for rows in ROWS for accuracy in ACCURACIES]
    worlds += [(count * size, count, accuracy) for count, size in CLUSTERED for accuracy in ACCURACIES]
    for rows, count, accuracy in worlds:
        clusters = None if count is None else np.repeat(np.arange(count), rows // count)
        row = {"records": rows, "clusters": count, "accuracy": accuracy}
        row |= covered(accuracy, clusters, rows, generator)
        if count is None:
            row |= {"exact": exact(accuracy, rows), "attainable": attainable(accuracy, rows)}
        print(json.dumps(row), flush=True)
        if path is not None:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
