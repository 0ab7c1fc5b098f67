"""Emoji found by name as an artist never seen draws them: `sensorium.pretrain("clip", ...)` on two artists, tested on
a third.

    python benchmarks/emoji_retrieval.py FOLDER_OF_EMOJI [--scratch] [--language zh] [--seeds 3] [--proxy]

FOLDER_OF_EMOJI holds emoji.csv and noto.webp, twemoji.webp, openmoji.webp (40 columns of 64 x 64 pixels; cell i is row
i). Trained on Noto and Twemoji, tested on OpenMoji: 1,585 names, each to find its picture among 1,585, and back. Prints
recall at 1 and 10 in both directions, a line a seed, with the seconds of the whole run (reading, features, training on
two threads); then the means with intervals (bootstrap over emoji, each with all its seeds), and what others reached.

By default the encoders are frozen EfficientNet-lite0 and MiniLM; `--scratch` trains from nothing. `--proxy` leaves
OpenMoji alone: trained on one of the two artists, tested on the other, each way. Recipes are chosen by that, and by
held-out emoji of both artists, which every run reports as its validation.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

import sensorium
from sensorium.evaluation.retrieval import ARROW, evaluate_retrieval
from sensorium.metrics import Resamples
from sensorium.metrics.resampling import distribution, mean
from sensorium.runs.demo import pretrained

ARTISTS = ("noto", "twemoji", "openmoji")
COLUMNS = 40
SIDE = 64
DIRECTIONS = (f"name{ARROW}picture", f"picture{ARROW}name")
CUTS = (1, 10)
REFERENCE = {
    False: "frozen encoders: floor .19 / .44, goal .25 / .50; two-layer projection .173 / .415",
    True: "from scratch: floor .05 / .19, goal .08 / .25; four convolutions and a bag of words .042 / .164",
}

# What another artist may do with the same thing: other colours, none, outlines, another place and size.
ARTIST = {
    "zoom": 0.2, "shift": 0.08, "rotation": 15, "colour": 0.3, "hue": 0.1, "grey": 0.15, "outline": 0.4, "blur": 0.1,
    "around": "border",
}  # fmt: skip
TRAINING = {"learning_rate": 2e-3, "weight_decay": 0.05, "keep": "last", "workers": 1}


def frozen() -> dict[str, Any]:
    """The recipe from the package encoders: cached features of several views, and what is trained on top of them.

    The name's projection has a layer between, so that a name can be put where its pictures are; the picture's is
    linear, so that pictures stay where the encoder has them. All names of the test are known, so the last epoch is
    kept: the best for held-out emoji comes long before names are learned.
    """
    encoders = pretrained()
    seen = {"size": 128, "stages": 2, "augmentation": ARTIST}
    return {
        "inputs": {
            "picture": encoders["picture"] | {"config": encoders["picture"]["config"] | seen, "views": 8},
            "name": encoders["name"],
        },
        "family": {"dim": 512, "temperature": 0.15, "projections": {"name": {"hidden": 1024, "norm": True}}},
        "training": TRAINING | {"epochs": 100, "batch_size": 400, "refit": True},
    }


def scratch() -> dict[str, Any]:
    """The recipe from nothing: a small convolution stack, and the mean of word vectors that are trained with it."""
    words = {"width": 256, "at_least": 1, "tune": True}
    return {
        "data": {"validation": 0.03},
        "inputs": {
            "picture": {
                "encoder": "image_conv",
                "config": {"size": 64, "width": 128, "depth": 1, "dropout": 0.0, "augmentation": ARTIST},
            },
            "name": {"encoder": "word_vectors", "config": words},
        },
        "family": {"dim": 256, "temperature": 0.07, "projections": {"name": {"norm": True}}},
        "training": TRAINING | {"learning_rate": 3e-3, "epochs": 30, "batch_size": 128, "refit": False},
    }


def draw(source: Path, artist: str, folder: Path) -> list[str]:
    """The pictures of one artist as files of `folder`: their names, in the order of the table."""
    sheet = np.asarray(Image.open(source / f"{artist}.webp").convert("RGB"))
    names = []
    for index in range(sheet.shape[0] // SIDE * COLUMNS):
        row, column = (SIDE * place for place in divmod(index, COLUMNS))
        names.append(f"{artist}{index}.png")
        Image.fromarray(sheet[row : row + SIDE, column : column + SIDE]).save(folder / names[-1])
    return names


def records(source: Path, artists: tuple[str, ...], language: str, folder: Path) -> pd.DataFrame:
    """A record for every emoji and artist: picture (a file), name, emoji."""
    table = pd.read_csv(source / "emoji.csv", keep_default_na=False)
    named = table["name" if language == "en" else f"name_{language}"]
    parts = [
        pd.DataFrame({"picture": draw(source, artist, folder)[: len(table)], "name": named, "emoji": table["char"]})
        for artist in artists
    ]
    return pd.concat(parts, ignore_index=True)


class Outcome:
    """Of one training: seconds, and of every query in both directions whether it is found within each cut."""

    def __init__(self, source: Path, trained: tuple[str, ...], tested: str, recipe: dict, language: str, seed: int):
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            records(source, trained, language, root).to_csv(root / "pairs.csv", index=False)
            began = time.monotonic()
            self.run = sensorium.pretrain(
                "clip", root / "pairs.csv", root / "run", recipe=recipe, image="picture", text="name", group="emoji",
                seed=seed, quiet=True,
            )  # fmt: skip
            self.seconds = time.monotonic() - began
            test = records(source, (tested,), language, root)
            test.to_csv(root / "test.csv", index=False)
            report = evaluate_retrieval(self.run.model, sensorium.read(root / "test.csv", schema=self.run.model.schema))
        self.report, self.seed, self.tested = report, seed, tested

    def row(self) -> str:
        """A line of the table."""
        said = self.run.metrics["retrieval"]
        held_out = " ".join(f"{said[DIRECTIONS[0]][f'recall@{cut}']['value']:.3f}" for cut in CUTS)
        values = [f"{value:.3f}" for name in DIRECTIONS for value in self.values(name)]
        return f"{self.tested:9s} {self.seed:4d}  {'   '.join(values)}   {held_out}   {self.seconds:7.0f}"

    def values(self, direction: str) -> list[float]:
        """Recall at each cut."""
        found = next(one for one in self.report.directions if one.name == direction)
        return [found.metrics[f"recall@{cut}"].value for cut in CUTS]

    def within(self, direction: str, cut: int) -> np.ndarray:
        """float64 [queries], by query in the order of its first record."""
        samples = self.report.samples.to_pandas()
        samples = samples[samples["direction"] == direction]
        return (samples["rank"].to_numpy() <= cut).astype(float)


def summary(outcomes: list[Outcome]) -> None:
    """Prints the mean over seeds of every recall, with its interval: emoji are drawn, each with all its seeds."""
    for direction in DIRECTIONS:
        for cut in CUTS:
            found = np.stack([one.within(direction, cut) for one in outcomes])  # [seeds, queries]
            drawn = Resamples(found.shape[1])
            spread = np.quantile(distribution({"recall": mean(found.mean(axis=0))}, drawn)["recall"], [0.025, 0.975])
            said = next(one for one in outcomes[0].report.directions if one.name == direction)
            chance = said.metrics[f"recall@{cut}"].chance
            print(
                f"{outcomes[0].tested} {direction} recall@{cut}: {found.mean():.3f} [{spread[0]:.3f}, {spread[1]:.3f}],"
                f" {said.queries:,} queries, {said.items:,} items, chance {chance:.4f}"
            )


def main() -> None:
    """Prints a line a training, and the summary of each artist that was tested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--scratch", action="store_true", help="encoders from nothing, not the package encoders")
    parser.add_argument("--language", default="en", choices=["en", "zh"], help="of the names")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--proxy", action="store_true", help="one of the two training artists for the other")
    parser.add_argument("--set", action="append", default=[], help="NAME.NAME=VALUE, a setting of the recipe")
    arguments = parser.parse_args()
    recipe = scratch() if arguments.scratch else frozen()
    for one in arguments.set:
        name, _, value = one.partition("=")
        *place, last = name.split(".")
        inner = recipe
        for key in place:
            inner = inner.setdefault(key, {})
        inner[last] = yaml.safe_load(value)
    first, second, third = ARTISTS
    tests = [((first,), second), ((second,), first)] if arguments.proxy else [((first, second), third)]
    print(f"{REFERENCE[arguments.scratch]} (recall at 1 / 10, name to picture)")
    print(f"tested    seed  {DIRECTIONS[0]} @1, @10   {DIRECTIONS[1]}   held-out emoji   seconds")
    for trained, tested in tests:
        outcomes = []
        for seed in range(arguments.seeds):
            outcomes.append(Outcome(arguments.source, trained, tested, recipe, arguments.language, seed))
            print(outcomes[-1].row(), flush=True)
        summary(outcomes)


if __name__ == "__main__":
    main()
