"""An epoch over frozen encoders with their features cached, against the same epoch without: seconds, ratio, losses.

    python benchmarks/cached_epochs.py FOLDER_OF_EMOJI [--records 300] [--epochs 3] [--repeats 3] [--precision auto]

Data and encoders are those of emoji_category.py: a picture through EfficientNet-lite0, a name through MiniLM. The two
ways alternate on the same records with the same seed and otherwise with `fit`'s own defaults, augmentation off in both,
since a cached input is not augmented. An epoch is its steps and the look at the validation records; the seconds of the
whole `fit`, which for the cached way holds the filling of the cache, are printed beside.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import sensorium
from emoji_category import records
from sensorium.runs.demo import pretrained

PLAIN = {name: settings | {"augment": False} for name, settings in pretrained().items()}


class Measured(NamedTuple):
    """Seconds of the median epoch and of the whole fit; the losses of each epoch."""

    epoch: float
    whole: float
    losses: np.ndarray  # float [epochs, 2]: of the training and of the validation records


def measure(table: Path, out: Path, cache: bool, options: dict) -> Measured:
    """One fit, with or without the cache."""
    began = time.monotonic()
    sensorium.fit(
        table,
        out,
        target="category",
        columns={"name": "text"},
        encoders=PLAIN,
        cache=cache,
        refit=False,
        overwrite=True,
        quiet=True,
        **options,
    )
    whole = time.monotonic() - began
    log = pd.read_csv(out / "log.csv")
    return Measured(
        log["seconds"].diff().fillna(log["seconds"]).median(), whole, log[["loss", "validation_loss"]].to_numpy()
    )


def main() -> None:
    """Prints a line a repeat, then medians, ratio, spread and the difference of the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--records", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    arguments = parser.parse_args()
    options = {"epochs": arguments.epochs, "precision": arguments.precision}
    found: dict[bool, list[Measured]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        table = records(arguments.source, root).sample(arguments.records, random_state=0)
        table.to_csv(root / "records.csv", index=False)
        for repeat in range(arguments.repeats):
            for cache in (True, False):
                found[cache].append(measure(root / "records.csv", root / str(cache), cache, options))
            one, two = found[True][-1], found[False][-1]
            print(
                f"repeat {repeat}: epoch cached {one.epoch:.3f} s, uncached {two.epoch:.2f} s, "
                f"{two.epoch / one.epoch:.0f} times; whole fit {one.whole:.1f} s and {two.whole:.1f} s",
                flush=True,
            )
    cached, uncached = (np.array([one.epoch for one in found[cache]]) for cache in (True, False))
    ratios = uncached / cached
    apart = np.abs(found[True][0].losses - found[False][0].losses).max()
    print(f"median epoch: cached {np.median(cached):.3f} s, uncached {np.median(uncached):.2f} s")
    print(f"ratio: {np.median(ratios):.0f} times, from {ratios.min():.0f} to {ratios.max():.0f} (floor 10, goal 50)")
    for name, one in (("cached", found[True][0]), ("uncached", found[False][0])):
        print(f"losses (training, validation) by epoch, {name}: {one.losses.round(4).tolist()}")
    print(f"the losses differ by at most {apart:.1e} ({arguments.precision} precision)")


if __name__ == "__main__":
    main()
