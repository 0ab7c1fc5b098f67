"""Strings of 2 to 6 spoken digits as words, learned from scratch or over frozen Whisper features.

    python benchmarks/digit_strings.py FOLDER_OF_SPOKEN_DIGITS [--head ctc writer] [--encoder audio_conv]
        [--test takes speaker] [--strings 1400] [--scored 400] [--set NAME=VALUE ...]

FOLDER_OF_SPOKEN_DIGITS holds {digit}_{speaker}_{take}.wav. A string joins recordings of one speaker with pauses of up
to .2 s. `takes`: all speakers are trained on, strings of takes 0 to 4 are scored; `speaker`: the last one is never
heard in training. Prints for every head and test the minutes of the fit, the word and character error with intervals
and how many words were put in, left out and replaced, and the seconds that writing takes for a recording. Fits with
default settings but for OPTIONS, which fill the quarter of an hour on two cores: one training, at a high rate.
"""

import argparse
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sensorium

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OPTIONS = {"batch_size": 16, "epochs": 50, "learning_rate": 0.002, "refit": False}
SHORTEST, LONGEST, PAUSE, SCORED_TAKES = 2, 6, 0.2, 5
MEASURES = (
    "word_error_rate", "character_error_rate", "word_insertions", "word_deletions", "word_substitutions",
)  # fmt: skip


def recordings(folder: Path) -> pd.DataFrame:
    """A row a recording: digit, speaker, take and path."""
    paths = sorted(folder.glob("*.wav"))
    table = pd.DataFrame([path.stem.split("_") for path in paths], columns=["digit", "speaker", "take"])
    return table.assign(take=table["take"].astype(int), path=[str(path) for path in paths])


def join_strings(table: pd.DataFrame, count: int, folder: Path, seed: int) -> pd.DataFrame:
    """Writes `count` strings of the recordings in `table`; a row each: audio, text, speaker."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    speakers = sorted(table["speaker"].unique())
    by_speaker = {speaker: table[table["speaker"] == speaker].reset_index() for speaker in speakers}
    rows = []
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        own = by_speaker[speaker]
        chosen = own.iloc[generator.integers(len(own), size=generator.integers(SHORTEST, LONGEST + 1))]
        pieces, rate = [], 0
        for path in chosen["path"]:
            with wave.open(path) as file:
                rate = file.getframerate()
                pieces.append(np.frombuffer(file.readframes(file.getnframes()), np.int16))
            pieces.append(np.zeros(int(generator.uniform(0, PAUSE) * rate), np.int16))
        path = folder / f"{number}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(np.concatenate(pieces).tobytes())
        text = " ".join(WORDS[int(digit)] for digit in chosen["digit"])
        rows.append({"audio": str(path), "text": text, "speaker": speaker})
    return pd.DataFrame(rows)


def split(table: pd.DataFrame, test: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The recordings that are trained on, and those that are scored."""
    last = table["speaker"] == sorted(table["speaker"].unique())[-1]
    scored = table["take"] < SCORED_TAKES if test == "takes" else last
    return table[~scored], table[scored]


def run(head: str, test: str, arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Fits, scores and times one model."""
    trained, scored = split(recordings(arguments.sounds), test)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        train = join_strings(trained, arguments.strings, root / "train", 0).drop(columns="speaker")
        held = join_strings(scored, arguments.scored, root / "test", 1)
        began = time.monotonic()
        fitted = sensorium.fit(
            train, root / "run", target={"text": "text"}, head={"text": head}, encoders={"audio": arguments.encoder},
            quiet=not arguments.verbose, **options,
        )  # fmt: skip
        minutes = (time.monotonic() - began) / 60
        began = time.monotonic()
        fitted.model.predict(held[["audio"]])
        seconds = (time.monotonic() - began) / len(held)
        report = sensorium.evaluate(fitted.model, held.drop(columns="speaker")).to_dict()
        metrics = report["targets"]["text"]
    line = {"head": head, "test": test, "minutes": f"{minutes:.1f}", "seconds": f"{seconds:.3f}"}
    for name in MEASURES:
        value = metrics[name]
        line[name] = f"{value['value']:.3f}" + (
            f" [{value['low']:.3f}, {value['high']:.3f}]" if name.endswith("rate") else ""
        )
    return line


def main() -> None:
    """Prints a line a head and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--head", nargs="+", default=["ctc", "writer"])
    parser.add_argument("--encoder", default="audio_conv")
    parser.add_argument("--test", nargs="+", default=["takes", "speaker"], choices=("takes", "speaker"))
    parser.add_argument("--strings", type=int, default=1400)
    parser.add_argument("--scored", type=int, default=400)
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE, an option of fit")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    options: dict[str, Any] = OPTIONS | dict(text.split("=", 1) for text in arguments.set)
    for head in arguments.head:
        for test in arguments.test:
            line = run(head, test, arguments, options)
            print(", ".join(f"{name} {value}" for name, value in line.items()), flush=True)


if __name__ == "__main__":
    main()
