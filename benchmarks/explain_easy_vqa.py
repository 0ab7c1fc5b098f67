"""Where a model that answers easy-VQA looks: is the heat of `sensorium answer --explain` on the shape?

    python benchmarks/explain_easy_vqa.py RUN [--folder easy_vqa] [--pictures 200] [--seed 0]

RUN is a fit of the package `easy-vqa` with a fusion that the question leads, as `benchmarks/easy_vqa.py --recipe
recipes/easy_vqa_albef.yaml` makes in easy_vqa/run; FOLDER gets the table that script makes. Of the test pictures so
many are drawn, each with one of its questions whether a shape is there ("is there a circle?"). The share of the heat
that lies on the shape, which is the pixels that differ from the background, is set against the shape's share of the
area: what heat without aim would have. Prints both means and their paired difference with its interval over pictures,
for the map of the whole question and for that of the word of the shape.
"""

import argparse
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import sensorium
from easy_vqa import records  # the script beside this one
from sensorium.data.media.image import decode
from sensorium.explanation import explain
from sensorium.explanation.drawing import resize_heat
from sensorium.metrics.resampling import paired

ASKS = re.compile(r"is there a (circle|rectangle|triangle)\b|is a (circle|rectangle|triangle) present")
APART = 16  # grey levels of a channel by which a pixel of the shape differs from the background, at least


def asked(table: Path, pictures: int, seed: int) -> list[tuple[str, str, str]]:
    """The picture, the question and the shape that it names, one for each of so many pictures of the test."""
    frame, found = pd.read_csv(table), {}
    for photo, question in frame[frame["part"] == "test"][["photo", "question"]].itertuples(index=False):
        match = ASKS.match(question)
        if match is not None and photo not in found:
            found[photo] = (str(table.parent / photo), question, match[1] or match[2])
    chosen = np.random.default_rng(seed).permutation(sorted(found))[:pictures]
    return [found[photo] for photo in chosen.tolist()]


def shape_of(picture: np.ndarray) -> np.ndarray:
    """bool [H, W]: the pixels of uint8 [H, W, 3] that differ from its commonest colour."""
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    return (np.abs(picture.astype(int) - colours[counts.argmax()]) > APART).any(axis=2)


def shares(model: sensorium.Model, picture: str, question: str, shape: str) -> tuple[float, float, float]:
    """Of the picture's area, of the whole question's heat and of the named shape's heat, what lies on the shape."""
    image = next(name for name, encoder in model.encoders.items() if encoder.modality == "image")
    found = explain(model, {image: picture, model.fusion.query: question})
    pixels = decode(picture, Path())
    inside = shape_of(pixels)
    heats = (found.whole, found.maps[found.words.index(shape)])
    maps = [resize_heat(heat, found.box, *inside.shape[::-1]) for heat in heats]
    return inside.mean(), *(float(heat[inside].sum() / heat.sum()) if heat.any() else 0.0 for heat in maps)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("easy_vqa"))
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    model = sensorium.load(options.run)
    chosen = asked(records(options.folder), options.pictures, options.seed)
    values = np.array([shares(model, *one) for one in chosen])  # [N, 3]
    print(f"{len(values)} pictures; the shape has {values[:, 0].mean():.3f} of the area")
    for name, share in (("the whole question", values[:, 1]), ("the word of the shape", values[:, 2])):
        beyond = paired(share, values[:, 0], seed=options.seed)
        print(
            f"{name:22} {share.mean():.3f} of its heat on the shape, {beyond.value:+.3f} [{beyond.low:+.3f},"
            f" {beyond.high:+.3f}] beyond that"
        )


if __name__ == "__main__":
    main()
