"""Going on from a trained run: what is learned of a new class and what is forgotten, by learning rate and epochs.

`python benchmarks/warm_start.py`: points in a plane. 300 of the classes north and south are old; 90 are new, a third of
them of the class east, which overlaps with both. Prints the accuracy on 600 other points of all three classes and the
change on the old test records.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import sensorium

CENTRES = {"north": (0, 2), "south": (0, -2), "east": (2, 0)}
FEW = {"workers": 0, "quiet": True}


def points(count: int, seed: int, sides: tuple[str, ...]) -> pd.DataFrame:
    """Points around the centres of `sides` in turn, and a column of noise."""
    chance = np.random.default_rng(seed)
    side = np.array(sides)[np.arange(count) % len(sides)]
    x, y = np.array([CENTRES[name] for name in side]).T + chance.normal(0, 1, (2, count))
    return pd.DataFrame({"x": x, "y": y, "z": chance.normal(size=count), "side": side})


def main() -> None:
    """Trains once, goes on six times, prints a line each."""
    new, other = points(90, 1, tuple(CENTRES)), points(600, 2, tuple(CENTRES))
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old.csv"
        points(300, 0, ("north", "south")).to_csv(old, index=False)
        sensorium.fit(old, f"{folder}/old", target="side", test=0.25, epochs=12, **FEW)
        print("rate  epochs  new points  old test")
        for rate in (1.0, 0.3, 0.1):
            for epochs in (3, 10):
                settings = {"learning_rate": rate * 1e-3, "epochs": epochs, "overwrite": True, **FEW}
                run = sensorium.fit(new, f"{folder}/more", start_from=f"{folder}/old", **settings)
                said = sensorium.evaluate(run.model, run.model.read(other.to_dict("records")), resamples=2).to_dict()
                change = run.metrics["forgetting"]["targets"]["side"]["accuracy"]["difference"]["value"]
                accuracy = said["targets"]["side"]["accuracy"]["value"]
                print(f"{rate:4.1f}  {epochs:6d}  {accuracy:10.3f}  {change:+8.3f}", flush=True)


if __name__ == "__main__":
    main()
