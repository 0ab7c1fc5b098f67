"""Dialogues about generated scenes: does an answer need the picture, and a follow-up the turn before it?

    python benchmarks/dialogue.py [--scenes 2000] [--seed 0] [--out FOLDER] [FIT OPTIONS ...]

A scene is a picture of one to four shapes, each of its own kind, in the corners of a square. A conversation asks how
many there are, and of two shapes the colour or the corner; the question after each, "And where is it?" or "And its
colour?", says nothing of which shape is meant. The table of turns becomes one of dialogues and answers as
`sensorium table` makes it; a fifth of the scenes is kept for the test. Printed: the share of answers that are right to
the letter, by question, with the picture and without it, and of follow-ups with the whole dialogue and with the last
question alone; each difference paired, its interval drawn over scenes. Further options go to `sensorium fit`, as
--head, --encoder and --fusion.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

import sensorium
from sensorium.metrics import paired

KINDS, COLOURS = ("circle", "square", "triangle", "cross"), ("red", "green", "blue", "yellow", "purple")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
COUNTS = ("none", "one", "two", "three", "four")
SIDE = 32  # pixels
MAKERS = {"colour": "What colour is the {}?", "corner": "Where is the {}?"}
FOLLOW_UPS = {"colour": "And where is it?", "corner": "And its colour?"}


def draw(scene: dict[str, tuple[str, str]]) -> Image.Image:
    """The picture of a scene: by kind, its corner and colour."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for kind, (corner, colour) in scene.items():
        x, y = SIDE // 2 * ("right" in corner) + 3, SIDE // 2 * ("bottom" in corner) + 3
        end = SIDE // 2 - 7
        box = (x, y, x + end, y + end)
        if kind == "circle":
            pen.ellipse(box, fill=colour)
        elif kind == "square":
            pen.rectangle(box, fill=colour)
        elif kind == "triangle":
            pen.polygon([(x, y + end), (x + end, y + end), (x + end / 2, y)], fill=colour)
        else:
            pen.line(box, fill=colour, width=3)
            pen.line((x, y + end, x + end, y), fill=colour, width=3)
    return picture


def conversation(chance: random.Random) -> tuple[dict[str, tuple[str, str]], list[tuple[str, str, str]]]:
    """A scene, and (question, answer, type) of each exchange."""
    kinds = chance.sample(KINDS, chance.randint(1, 4))
    corners = chance.sample(CORNERS, len(kinds))
    scene = {kind: (corner, chance.choice(COLOURS)) for kind, corner in zip(kinds, corners, strict=True)}
    exchanges = [("How many shapes are there?", f"I see {COUNTS[len(kinds)]}.", "count")]
    for kind in chance.sample(kinds, min(2, len(kinds))):
        asked = chance.choice(tuple(MAKERS))
        corner, colour = scene[kind]
        answers = {"colour": f"It is {colour}.", "corner": f"At the {corner}."}
        other = "corner" if asked == "colour" else "colour"
        exchanges.append((MAKERS[asked].format(kind), answers[asked], asked))
        exchanges.append((FOLLOW_UPS[asked], answers[other], "follow-up"))
    return scene, exchanges


def write_turns(folder: Path, count: int, seed: int) -> pd.DataFrame:
    """Writes turns.csv and its pictures; gives the type of each answer, by conversation and turn."""
    chance, turns, types = random.Random(seed), [], []
    (folder / "pictures").mkdir(parents=True)
    for number in range(count):
        scene, exchanges = conversation(chance)
        path = f"pictures/{number}.png"
        draw(scene).save(folder / path)
        for index, (question, answer, kind) in enumerate(exchanges):
            turns.append((number, 2 * index, "user", question, path if not index else None))
            turns.append((number, 2 * index + 1, "assistant", answer, None))
            types.append((number, 2 * index + 1, kind))
    columns = ["conversation", "turn", "speaker", "text", "picture"]
    pd.DataFrame(turns, columns=columns).to_csv(folder / "turns.csv", index=False)
    return pd.DataFrame(types, columns=["conversation", "turn", "type"])


def written(run: Path, rows: pd.DataFrame) -> np.ndarray:
    """What the run writes for each row."""
    return np.array([record["answer"]["decision"] for record in sensorium.load(run).predict(rows.to_dict("records"))])


def share(name: str, right: np.ndarray) -> str:
    """A share of right answers, in words."""
    return f"{name:<44} {right.mean():.3f} of {len(right)}"


def gain(name: str, right: np.ndarray, without: np.ndarray, scenes: np.ndarray) -> str:
    """A paired difference of shares with its interval, in words."""
    value = paired(right.astype(float), without.astype(float), scenes)
    return f"{name:<44} {value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"


def main() -> None:
    """Makes the table, fits, and prints the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the table and the run are written; else they are removed")
    options, fit_options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.out or Path(scratch) / "dialogue").resolve()
        types = write_turns(folder, options.scenes, options.seed)
        cli = [sys.executable, "-m", "sensorium.cli"]
        subprocess.run([*cli, "table", folder / "turns.csv", "--out", folder / "dialogues.jsonl"], check=True)
        frame = pd.read_json(folder / "dialogues.jsonl", lines=True).merge(types, on=["conversation", "turn"])
        test = frame["conversation"] >= options.scenes * 4 // 5
        frame[~test].drop(columns=["type", "turn"]).to_json(folder / "train.jsonl", orient="records", lines=True)
        began = time.monotonic()
        fit = [*cli, "fit", folder / "train.jsonl", "--target", "answer=text", "--group", "conversation", "--column"]
        fit += ["dialogue=text", "--out", folder / "run", "--overwrite", "--seed", str(options.seed), *fit_options]
        subprocess.run(list(map(str, fit)), check=True)
        print(f"fitted in {time.monotonic() - began:.0f} s")
        report(folder / "run", folder, frame[test].reset_index(drop=True))


def report(run: Path, folder: Path, rows: pd.DataFrame) -> None:
    """Prints what the run writes for the test rows, with all that they have and without some of it."""
    inputs = rows[["dialogue"]].assign(picture=[str(folder / path) for path in rows["picture"]])
    last_question = inputs.assign(dialogue=[text.rsplit("\n", 1)[-1] for text in inputs["dialogue"]])
    truth, scenes = rows["answer"].to_numpy(str), rows["conversation"].to_numpy(str)
    right = written(run, inputs) == truth
    unseen = written(run, inputs.assign(picture=None)) == truth
    alone = written(run, last_question) == truth
    for kind in ("count", "colour", "corner", "follow-up"):
        print(share(kind, right[(rows["type"] == kind).to_numpy()]))
    print(share("all", right))
    print(share("all, without the picture", unseen))
    print(gain("with the picture above without", right, unseen, scenes))
    follows = (rows["type"] == "follow-up").to_numpy()
    print(share("follow-ups, without the turns before", alone[follows]))
    print(gain("with the turns before above without", right[follows], alone[follows], scenes[follows]))


if __name__ == "__main__":
    main()
