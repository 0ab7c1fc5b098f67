"""Every fusion compared on two tables, twice with other seeds: minutes, the verdicts, and what contradicts itself.

    python benchmarks/comparison.py digits FOLDER_OF_SPOKEN_DIGITS [--runs 2] [--fusion all] [--seeds 1] [--folds 4]
    python benchmarks/comparison.py emoji FOLDER_OF_EMOJI [--runs 2] [--fusion all] [--seeds 1] [--folds 5]

digits: a recording and a noised picture of the same digit, neither of which alone tells more than about .85; each fold
leaves a speaker out. emoji: picture, name and spoken name tell the category, by the package encoders, in folds by
emoji. Prints each run's table and minutes; then the pairs that differ significantly in both runs with opposite signs,
of which there should be none.
"""

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.digits import records

import sensorium
from sensorium.data.datasets.emoji import emoji
from sensorium.evaluation.comparison import Comparison
from sensorium.runs.demo import pretrained

NOISE = 0.4


def digits(source: Path, folder: Path) -> tuple[Path, dict]:
    """The table of digits, and how it is read."""
    table = records(source, folder, NOISE)
    table[["picture", "sound", "digit", "speaker"]].to_csv(folder / "table.csv", index=False)
    return folder / "table.csv", {"target": {"digit": "class"}, "group": "speaker"}


def emojis(source: Path, folder: Path) -> tuple[Path, dict]:
    """The demo's table of emoji, and how it is read; the pictures come from a package, not from `source`."""
    voice = {"encoder": "audio_conv", "config": {"rate": 8000, "seconds": 1.5, "window": 0.04, "hop": 0.02}}
    columns = {"name": "text", "sentiment": "ignored"}
    options = {"target": "category", "group": "family", "key": "emoji", "columns": columns}
    options["encoders"] = pretrained() | {"voice": voice}
    return emoji(folder), options


def contradictions(one: Comparison, other: Comparison) -> list[str]:
    """The pairs of which each run finds the other one better, both significantly."""
    found = []
    for pair in one.differences:
        again = other.between(pair.a, pair.b)
        if pair.significant and again.significant and pair.value.value * again.value.value < 0:
            found.append(f"{pair.a} against {pair.b}: {pair.value.value:+.3f}, {again.value.value:+.3f}")
    return found


def main() -> None:
    """Prints the tables, then the contradictions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["digits", "emoji"])
    parser.add_argument("source", type=Path)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--fusion", default="all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table, options = {"digits": digits, "emoji": emojis}[arguments.table](arguments.source, folder)
        how = {"fusion": arguments.fusion, "seeds": arguments.seeds, "folds": arguments.folds}
        runs = []
        for seed in range(arguments.runs):
            began = time.monotonic()
            out = folder / f"run-{seed}"
            found = sensorium.compare(table, out, seed=100 * seed, workers=arguments.workers, **how, **options)
            print(f"run {seed}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
            runs.append(found)
    if len(runs) > 1:
        wrong = contradictions(*runs[:2])
        print(f"pairs that change sign, significant both times: {len(wrong)}")
        print("\n".join(wrong))


if __name__ == "__main__":
    main()
