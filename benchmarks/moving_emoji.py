"""Real films of moving emoji: which emoji it is, and which of eight motions it makes, learned from scratch.

    python benchmarks/moving_emoji.py FOLDER_OF_EMOJI [--films 1200] [--test 400] [--frames 6] [--epochs 12]

FOLDER_OF_EMOJI holds emoji.csv and the sheets noto.webp, twemoji.webp and openmoji.webp (40 columns of 64 x 64 pixels;
cell i is row i). Each film, an MP4 of 17 frames, shows one of twenty emoji by one of three artists at a place, a turn
and a size of chance in the middle of the film, moving one way at a speed of chance: left, right, up, down, turning with
or against the clock, growing, shrinking. Each motion is another's in reverse, and in its middle every film is drawn
from the same chances, so a single frame says nothing of the motion. No film of the test is in training.

Prints accuracy and 95 % interval of name and motion on the films of the test; then of the same model with the frames of
each film shuffled (at most about half of the motions can then be right: a motion and its reverse have the same frames)
and reversed (right: the reverse motion); then of a model that was fitted to one frame a film.
"""

import argparse
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import pandas as pd
from PIL import Image

import sensorium
from sensorium.data.media import video

NAMES = (
    "hot dog", "cactus", "hot pepper", "banana", "pineapple", "pizza", "ice cream", "guitar", "dolphin", "rocket",
    "penguin", "butterfly", "key", "hammer", "umbrella", "mushroom", "pencil", "snail", "carrot", "bicycle",
)  # fmt: skip
REVERSE = {
    "left": "right", "right": "left", "up": "down", "down": "up", "clockwise": "counterclockwise",
    "counterclockwise": "clockwise", "grow": "shrink", "shrink": "grow",
}  # fmt: skip
ARTISTS = ("noto", "twemoji", "openmoji")
FRAMES, RATE, SIDE = 17, 16, 64
IMAGE = {"encoder": "image_conv", "config": {"size": 48, "width": 64, "depth": 1}}


def pictures(source: Path) -> dict[str, list[Image.Image]]:
    """By name, the emoji of each artist, 40 x 40 pixels."""
    names = pd.read_csv(source / "emoji.csv")["name"].tolist()
    sheets = [Image.open(source / f"{artist}.webp").convert("RGB") for artist in ARTISTS]
    cells = {}
    for name in NAMES:
        row, column = divmod(names.index(name), 40)
        box = (64 * column, 64 * row, 64 * column + 64, 64 * row + 64)
        cells[name] = [sheet.crop(box).resize((40, 40), Image.Resampling.LANCZOS) for sheet in sheets]
    return cells


def draw(picture: Image.Image, motion: str, chance: np.random.Generator) -> np.ndarray:
    """uint8 [F, 64, 64, 3]: a film of `picture` that makes `motion`, on white."""
    middle = {"x": chance.uniform(24, 40), "y": chance.uniform(24, 40)}
    turn, scale = chance.uniform(-45, 45), chance.uniform(0.7, 1.05)
    far, angle, growth = chance.uniform(14, 26), chance.uniform(90, 200), chance.uniform(0.5, 0.9)
    frames = []
    for moment in np.linspace(-0.5, 0.5, FRAMES):
        x = middle["x"] + far * moment * ((motion == "right") - (motion == "left"))
        y = middle["y"] + far * moment * ((motion == "down") - (motion == "up"))
        degrees = turn + angle * moment * ((motion == "clockwise") - (motion == "counterclockwise"))
        size = scale * np.exp(growth * moment * ((motion == "grow") - (motion == "shrink")))
        frames.append(_placed(picture, x, y, np.deg2rad(degrees), size))
    return np.stack(frames)


def _placed(picture: Image.Image, x: float, y: float, turn: float, size: float) -> np.ndarray:
    """A frame with `picture` centred at (x, y), turned with the clock by `turn` radians and scaled."""
    cos, sin, half = np.cos(turn) / size, np.sin(turn) / size, picture.width / 2
    across = (cos, sin, half - cos * x - sin * y)
    down = (-sin, cos, half + sin * x - cos * y)
    return np.asarray(
        picture.transform(
            (SIDE, SIDE), Image.Transform.AFFINE, across + down, Image.Resampling.BILINEAR, fillcolor="white"
        )
    )


def write(path: Path, frames: np.ndarray, codec: str = "libx264") -> None:
    """Writes `frames`, uint8 [F, H, W, 3], as an MP4 of 16 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def make(source: Path, folder: Path, train: int, test: int, seed: int = 0) -> pd.DataFrame:
    """Writes the films into `folder` and films.csv (clip, name, motion, part) beside them; gives that table."""
    chance, cells = np.random.default_rng(seed), pictures(source)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(train + test):
        name, motion = str(chance.choice(NAMES)), str(chance.choice(list(REVERSE)))
        path = folder / f"{index}.mp4"
        write(path, draw(cells[name][chance.integers(len(ARTISTS))], motion, chance))
        rows.append((path.name, name, motion, "train" if index < train else "test"))
    table = pd.DataFrame(rows, columns=["clip", "name", "motion", "part"])
    table.to_csv(folder / "films.csv", index=False)
    return table


def fit(folder: Path, epochs: int, **config: object) -> sensorium.Model:
    """A model of name and motion, from scratch, on the films of films.csv that are not of the test."""
    run = sensorium.fit(
        folder / "films.csv", folder / "run", target=["name", "motion"], split="part", overwrite=True, quiet=True,
        encoders={"clip": {"encoder": "video", "config": {"image": IMAGE} | config}},
        epochs=epochs, batch_size=16, refit=False, workers=1,
    )  # fmt: skip
    return run.model


def changed(folder: Path, table: pd.DataFrame, how: str, seed: int = 0) -> list[dict]:
    """The test's films in memory with their frames "in order", "shuffled" or "reversed"."""
    chance, records = np.random.default_rng(seed), []
    for clip in table.loc[table["part"] == "test", "clip"]:
        frames = video.decode(clip, folder).frames
        order = np.arange(len(frames))
        order = {"in order": order, "shuffled": chance.permutation(order), "reversed": order[::-1]}[how]
        records.append({"clip": (frames[order], RATE)})
    return records


def tell(what: str, model: sensorium.Model, records: list[dict], test: pd.DataFrame) -> dict[str, float]:
    """Prints accuracy and 95 % interval (normal) of name and motion, and gives the accuracies."""
    said = {name: [one[name]["decision"] for one in model.predict(records)] for name in ("name", "motion")}
    shares = {}
    for name, decided in said.items():
        right = np.mean(np.array(decided) == test[name].to_numpy())
        error = 1.96 * np.sqrt(right * (1 - right) / len(test))
        chance = 1 / test[name].nunique()
        print(f"{what:24} {name:6} {right:.3f} [{right - error:.3f}, {right + error:.3f}], chance {chance:.3f}")
        shares[name] = float(right)
    return shares


def main() -> None:
    """Prints the accuracies and the seconds of each fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--films", type=int, default=1200)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--over", default="transformer", help="transformer or convolution")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.monotonic()
        table = make(arguments.source, folder, arguments.films, arguments.test)
        print(f"{len(table)} films written in {time.monotonic() - began:.0f} s", flush=True)
        test = table[table["part"] == "test"].reset_index(drop=True)
        for frames in (arguments.frames, 1):
            began = time.monotonic()
            model = fit(folder, arguments.epochs, frames=frames, over=arguments.over)
            print(f"fitted with {frames} frames a film in {time.monotonic() - began:.0f} s", flush=True)
            tell(f"frames {frames}", model, changed(folder, table, "in order"), test)
            if frames > 1:
                tell(f"frames {frames}, shuffled", model, changed(folder, table, "shuffled"), test)
                reverse = test.assign(motion=test["motion"].map(REVERSE))
                tell(f"frames {frames}, reversed", model, changed(folder, table, "reversed"), reverse)


if __name__ == "__main__":
    main()
