"""Spoken and handwritten digits: one picture and one recording of the same digit; four folds, each with a speaker
never heard.

    python benchmarks/digits.py FOLDER_OF_SPOKEN_DIGITS [--noise 0.4] [--folds 4] [--alone]

FOLDER_OF_SPOKEN_DIGITS holds {digit}_{speaker}_{take}.wav. Pictures are scikit-learn's 1,797 handwritten digits,
split apart by the
same folds. For every fold it fits with default settings and prints, on the held-out fold: together, each input with
the other
absent at prediction, and each input's own model; then the paired difference between together and the better input
alone, clustered
by picture.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

import sensorium
from sensorium.metrics import paired


def records(sounds: Path, folder: Path, noise: float, seed: int = 0) -> pd.DataFrame:
    """One row a recording, each with a picture of the same digit; a picture belongs to one speaker only.

    `noise` is the standard deviation of Gaussian noise on the pictures, whose values go from 0 to 1.
    """
    generator = np.random.default_rng(seed)
    pictures, labels = load_digits(return_X_y=True)
    pictures = pictures.reshape(-1, 8, 8) / 16
    pictures = np.clip(pictures + generator.normal(0, noise, pictures.shape), 0, 1) if noise else pictures
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in sounds.glob("*.wav"))
    table = pd.DataFrame([name.split("_") for name in names], columns=["digit", "speaker", "take"])
    table["sound"] = [str(sounds.resolve() / f"{name}.wav") for name in names]
    speakers = sorted(table["speaker"].unique())
    share = generator.permutation(len(labels)) % len(speakers)
    table["picture"] = ""
    for index, speaker in enumerate(speakers):
        for digit in sorted(table["digit"].unique()):
            rows = table.index[(table["speaker"] == speaker) & (table["digit"] == digit)]
            mine = np.flatnonzero((share == index) & (labels == int(digit)))
            chosen = mine[np.arange(len(rows)) % len(mine)]
            table.loc[rows, "picture"] = [f"{one}.png" for one in generator.permutation(chosen)]
    for index, picture in enumerate(pictures):
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(folder / f"{index}.png")
    return table


def score(model: sensorium.Model, rows: pd.DataFrame, root: Path, columns: list[str]) -> np.ndarray:
    """bool [N]: which records are right when only `columns` are given."""
    given = rows[columns].copy()
    if "picture" in columns:
        given["picture"] = [str(root / name) for name in given["picture"]]
    predicted = model.predict(given.to_dict("records"))
    return np.array([one["digit"]["decision"] for one in predicted]) == rows["digit"].to_numpy()


def main() -> None:
    """Prints a line a fold and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--alone", action="store_true", help="also train a model on each input alone")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE, an option of fit")
    arguments = parser.parse_args()
    options = {name: value for name, _, value in (one.partition("=") for one in arguments.set)}
    options = {name: float(value) if value.replace(".", "").isdigit() else value for name, value in options.items()}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        table = records(arguments.sounds, root, arguments.noise)
        table.to_csv(root / "digits.csv", index=False)
        everything, results = [], []
        for speaker in sorted(table["speaker"].unique())[: arguments.folds]:
            train, test = table[table["speaker"] != speaker], table[table["speaker"] == speaker]
            line = {}
            for name, columns in {"": ["picture", "sound"], "own ": None}.items():
                for inputs in [columns] if columns else [["picture"], ["sound"]] if arguments.alone else []:
                    path = root / "train.csv"
                    train[[*inputs, "digit", "speaker"]].to_csv(path, index=False)
                    began = time.monotonic()
                    run = sensorium.fit(
                        path,
                        root / "run",
                        target={"digit": "class"},
                        group="speaker",
                        overwrite=True,
                        quiet=True,
                        **options,
                    )
                    seconds = time.monotonic() - began
                    if name:
                        line[f"{name}{inputs[0]}"] = score(run.model, test, root, inputs).mean()
                        continue
                    right = {key: score(run.model, test, root, given) for key, given in
                             {"together": inputs, "picture": ["picture"], "sound": ["sound"]}.items()}  # fmt: skip
                    line |= {key: value.mean() for key, value in right.items()} | {"seconds": seconds}
                    everything.append(pd.DataFrame(right).assign(cluster=test["picture"].to_numpy()))
            results.append(line)
            print(f"without {speaker}: " + ", ".join(f"{key} {value:.3f}" for key, value in line.items()), flush=True)
    print("mean: " + ", ".join(f"{key} {value:.3f}" for key, value in pd.DataFrame(results).mean().items()))
    whole = pd.concat(everything)
    better = max(("picture", "sound"), key=lambda name: whole[name].mean())
    gain = paired(whole["together"].to_numpy(float), whole[better].to_numpy(float), whole["cluster"].to_numpy())
    print(f"together minus {better} alone: {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]")


if __name__ == "__main__":
    main()
