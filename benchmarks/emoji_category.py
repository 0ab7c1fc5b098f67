"""Emoji category from picture and name: `fit` with its defaults against logistic regression on the same frozen
features.

    python benchmarks/emoji_category.py FOLDER_OF_EMOJI [--splits 5] [--missing 0.0]

FOLDER_OF_EMOJI holds emoji.csv and openmoji.webp (40 columns of 64 x 64 pixels; cell i is row i). The two rarest
categories are left
out; each split is 80/20 by row. Prints both accuracies a split, seconds (features included), and the paired
difference, clustered by
emoji, over all splits. `--missing` takes that share of the pictures away, in training and test.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sensorium
from sensorium.metrics import paired
from sensorium.runs.demo import pretrained


def records(source: Path, folder: Path) -> pd.DataFrame:
    """name, picture (a path) and category of every emoji but those of the two rarest categories."""
    table = pd.read_csv(source / "emoji.csv")
    sheet = np.asarray(Image.open(source / "openmoji.webp").convert("RGB"))
    for index in range(len(table)):
        row, column = divmod(index, 40)
        cell = sheet[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        Image.fromarray(cell).save(folder / f"{index}.png")
    table["picture"] = [f"{index}.png" for index in range(len(table))]
    rare = table["category"].value_counts().index[-2:]
    return table[~table["category"].isin(rare)][["name", "picture", "category"]].reset_index(drop=True)


def regression(model: sensorium.Model, train: sensorium.Table, test: sensorium.Table) -> np.ndarray:
    """bool [N]: which test records logistic regression on the model's own frozen features gets right."""
    features = [
        np.concatenate([model.embed(part, name) for name in ("picture", "name")], axis=1) for part in (train, test)
    ]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
    classifier.fit(features[0], train.frame["category"])
    return classifier.predict(features[1]) == test.frame["category"].to_numpy()


def main() -> None:
    """Prints a line a split and the paired difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE, an option of fit")
    arguments = parser.parse_args()
    options = {name: value for name, _, value in (one.partition("=") for one in arguments.set)}
    options = {name: float(value) if value.replace(".", "").isdigit() else value for name, value in options.items()}
    ours, peers, clusters = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        table = records(arguments.source, root)
        gone = np.random.default_rng(0).random(len(table)) < arguments.missing
        table.loc[gone, "picture"] = None
        table.to_csv(root / "emoji.csv", index=False)
        for seed in range(arguments.splits):
            whole = sensorium.read(root / "emoji.csv", target="category", columns={"name": "text"}, quiet=True)
            order = np.random.default_rng(seed).permutation(len(whole))
            cut = round(0.8 * len(whole))
            train, test = whole.take(order[:cut]), whole.take(order[cut:])
            began = time.monotonic()
            run = sensorium.fit(
                train, root / "run", encoders=pretrained(), overwrite=True, quiet=True, seed=seed, **options
            )
            seconds = time.monotonic() - began
            right = run.model.predict(test)["category"] == test.frame["category"]
            peer = regression(run.model, train, test)
            ours.append(right.to_numpy())
            peers.append(peer)
            clusters.append(test.rows)
            print(
                f"split {seed}: fit {right.mean():.3f} in {seconds:.0f} s, logistic regression {peer.mean():.3f}",
                flush=True,
            )
    gain = paired(np.concatenate(ours).astype(float), np.concatenate(peers).astype(float), np.concatenate(clusters))
    print(f"mean: fit {np.concatenate(ours).mean():.4f}, logistic regression {np.concatenate(peers).mean():.4f}")
    print(f"fit minus logistic regression: {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]")


if __name__ == "__main__":
    main()
