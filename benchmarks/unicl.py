"""Emoji found by name and by category as an artist never seen draws them: `sensorium.pretrain("florence", ...)`, which
learns from names and categories by UniCL, against CLIP's loss, which learns from names alone.

    python benchmarks/unicl.py FOLDER_OF_EMOJI [--seeds 0 1 2] [--epochs 60] [--together]

FOLDER_OF_EMOJI is as in emoji_retrieval.py. Trained on Noto and Twemoji, tested on OpenMoji: 1,585 names in 10
categories. All losses train the same projections over the same frozen EfficientNet-lite0 and MiniLM, from the same
seeds. Prints, a line a run: recall of names at 1 and 10 in both directions; the share of pictures whose category's
label is the nearest of the ten (zero-shot); the mean over categories of the average precision of the pictures that the
label finds. After each seed come the differences so far, the seeds averaged, with paired 95 % intervals over emoji.
Floor: both figures of categories are above CLIP's; goal: no recall of names is below. `--together` runs
`pretrain clip --labels` as well, whose positives are all records of a category, name by name.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import sensorium
from emoji_retrieval import ARTISTS, records
from emoji_retrieval import frozen as frozen_recipe
from sensorium.evaluation.zero_shot import ZeroShot

CUTS = (1, 10)
RESAMPLES = 500
MEASURES = ("name→picture @1", "name→picture @10", "picture→name @1", "picture→name @10", "zero-shot", "precision")
LOSSES = {"clip": ("clip", None), "florence": ("florence", "category"), "together": ("clip", "category")}


class Outcome(NamedTuple):
    """Of one run on N emoji: whether each is found within each cut in both directions, bool [4, N]; the similarities of
    pictures and labels, float [N, K]; the seconds of training."""

    hits: np.ndarray
    similarity: np.ndarray
    seconds: float

    def measures(self, truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """float [6], those of MEASURES among the emoji `rows`. truth: int [N], the label of each."""
        similarity, truth = self.similarity[rows], truth[rows]
        zero_shot = (similarity.argmax(axis=1) == truth).mean()
        precision = np.mean([average_precision(similarity[:, k], truth == k) for k in np.unique(truth)])
        return np.array([*self.hits[:, rows].mean(axis=1), zero_shot, precision])


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """The mean, over the `relevant` [N], of the share that is relevant of all that score as high or higher."""
    relevant = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(relevant) / np.arange(1, len(relevant) + 1))[relevant].mean())


def with_categories(source: Path, artists: tuple[str, ...], folder: Path) -> pd.DataFrame:
    """A record for every emoji and artist: picture (a file), name, emoji, category."""
    categories = pd.read_csv(source / "emoji.csv", keep_default_na=False)["category"]
    return records(source, artists, "en", folder).assign(category=[*categories] * len(artists))


def recipe(epochs: int) -> dict[str, Any]:
    """That of emoji_retrieval.py, from smaller pictures in fewer views, so that a run takes minutes."""
    settings = frozen_recipe()
    settings["inputs"]["picture"]["config"]["size"] = 64
    settings["inputs"]["picture"]["views"] = 2
    settings["training"] |= {"epochs": epochs, "refit": False}
    return settings | {"data": {"validation": 0.03}}


def outcome(source: Path, loss: str, epochs: int, seed: int) -> Outcome:
    """One run, and what its model finds among the third artist's emoji."""
    family, classes = LOSSES[loss]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with_categories(source, ARTISTS[:2], root).to_csv(root / "pairs.csv", index=False)
        began = time.monotonic()
        run = sensorium.pretrain(
            family, root / "pairs.csv", root / "run", recipe=recipe(epochs), image="picture", text="name",
            labels=classes, group="emoji", seed=seed, quiet=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
        frame = with_categories(source, ARTISTS[2:], root)
        frame.to_csv(root / "test.csv", index=False)
        test = sensorium.read(root / "test.csv", schema=run.model.schema)
        names, pictures = (run.model.embed(test, column) for column in ("name", "picture"))
        between = names @ pictures.T  # [N, N], a name's own picture on the diagonal
        ranks = [(side > side.diagonal()[:, None]).sum(axis=1) for side in (between, between.T)]
        labels = sorted(frame["category"].unique())
        similarity = pictures @ ZeroShot(run.model, labels, input="picture").vectors.T
    return Outcome(np.stack([rank < cut for rank in ranks for cut in CUTS]), similarity, seconds)


def print_gains(outcomes: dict[str, list[Outcome]], truth: np.ndarray) -> None:
    """Prints what each loss adds to CLIP's, the seeds averaged, with intervals over emoji. truth: int [N]."""
    everything = np.arange(len(truth))
    drawn = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES, len(truth)))
    figures = {
        loss: np.array([[run.measures(truth, rows) for run in runs] for rows in (everything, *drawn)]).mean(axis=1)
        for loss, runs in outcomes.items()
    }  # float [1 + RESAMPLES, 6]
    for loss in outcomes.keys() - {"clip"}:
        gains = figures[loss] - figures["clip"]
        low, high = np.quantile(gains[1:], [0.025, 0.975], axis=0)
        print(f"{loss} minus clip, {len(outcomes[loss])} seeds")
        for name, gain, least, most in zip(MEASURES, gains[0], low, high, strict=True):
            print(f"  {name:18s} {gain:+.3f} [{least:+.3f}, {most:+.3f}]")
        above, below = (low[4:] > 0).all(), (high[:4] < 0).any()
        print(f"  floor, categories above: {above}; goal, names not below: {not below}", flush=True)


def main() -> None:
    """Prints a line a run, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--together", action="store_true", help="pretrain clip --labels as well")
    arguments = parser.parse_args()
    categories = pd.read_csv(arguments.source / "emoji.csv", keep_default_na=False)["category"]
    truth = np.unique(categories, return_inverse=True)[1]
    outcomes: dict[str, list[Outcome]] = {loss: [] for loss in LOSSES if loss != "together" or arguments.together}
    print(f"loss      seed  {'  '.join(MEASURES)}  seconds")
    for seed in arguments.seeds:
        for loss, runs in outcomes.items():
            runs.append(outcome(arguments.source, loss, arguments.epochs, seed))
            measured = runs[-1].measures(truth, np.arange(len(truth)))
            values = "  ".join(f"{value:>{len(name)}.3f}" for name, value in zip(MEASURES, measured, strict=True))
            print(f"{loss:9s} {seed:4d}  {values}  {runs[-1].seconds:7.0f}", flush=True)
        print_gains(outcomes, truth)


if __name__ == "__main__":
    main()
