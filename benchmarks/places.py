"""Objects in scenes from scratch: which of eight kinds of stamps a picture has, and where.

    python benchmarks/places.py SHARED/data/stamps/stamps.csv [--scenes 6000] [--seed 0] [--folder places]
        [--set NAME=VALUE ...] [--grounding]

A scene of 128 x 128 pixels has one to six stamps of a drawing program, pasted by their alpha at 24 to 56 pixels on a
drawn background, with little overlap. A label is one of the eight categories that have 26 stamps or more. A fifth of
the stamps, by their English captions, stands in no training scene. The fit chooses all else, from scratch (no package
of pretrained weights). Printed: mAP at .5 and .5:.95 on unseen scenes of seen stamps, with the interval and chance, by
scores of one beside it, and on scenes of unseen stamps; the seconds from the table to the scored run. With
--grounding a text names one stamp of a scene by its caption, and the target is its box alone: the share whose box has
an IoU of .5, beside that of the box that is most often right. Floors: mAP .5 .35 (goal .6) under 30 minutes on two
AVX2 cores, above that with scores of one; grounding .5.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ["SENSORIUM_PACKS"] = "0"

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

SIDE, SMALLEST, LARGEST, MOST = 128, 24, 56, 6  # pixels of a scene and of a stamp's longer side; stamps
FEWEST_STAMPS, UNSEEN, OVERLAP, TRIES = 26, 0.2, 0.1, 30


def load_stamps(path: Path, seed: int) -> pd.DataFrame:
    """The stamps of the frequent categories: `image` (RGBA, cut to what is opaque), category, en, and `unseen`."""
    table = pd.read_csv(path).dropna(subset=["en"])
    counts = table["category"].value_counts()
    table = table[table["category"].isin(counts.index[counts >= FEWEST_STAMPS])].reset_index(drop=True)
    captions = sorted(table["en"].unique())
    unseen = np.random.default_rng(seed).choice(captions, round(UNSEEN * len(captions)), replace=False)
    images = [Image.open(path.parent / name).convert("RGBA") for name in table["picture"]]
    images = [image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 64)).getbbox()) for image in images]
    return table.assign(image=images, unseen=table["en"].isin(unseen))


def draw_background(rng: np.random.Generator) -> Image.Image:
    """A gradient between two colours, with a few shapes and lines in others."""
    first, last = rng.integers(60, 256, (2, 3))
    share = np.linspace(0, 1, SIDE)[:, None, None] if rng.random() < 0.5 else np.linspace(0, 1, SIDE)[None, :, None]
    pixels = np.broadcast_to(first + (last - first) * share, (SIDE, SIDE, 3)) + rng.normal(0, 4, (SIDE, SIDE, 3))
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(0, 5)):
        colour, corners = tuple(rng.integers(60, 256, 3).tolist()), rng.integers(-20, SIDE + 20, 4).tolist()
        left, top, right, bottom = *np.minimum(corners[:2], corners[2:]), *np.maximum(corners[:2], corners[2:])
        shape = rng.integers(3)
        if shape == 0:
            pen.line(corners, fill=colour, width=int(rng.integers(1, 4)))
        elif shape == 1:
            pen.ellipse((left, top, right, bottom), fill=colour)
        else:
            pen.rectangle((left, top, right, bottom), fill=colour)
    return picture


def draw_scene(rng: np.random.Generator, stamps: pd.DataFrame, distinct: bool = False) -> tuple[Image.Image, list[dict]]:
    """A picture and its stamps, each with `label`, `box` in pixels and `en`. distinct: no two have one caption."""
    picture, objects = draw_background(rng), []
    for _ in range(rng.integers(1, MOST + 1)):
        category = rng.choice(stamps["category"].unique())
        stamp = stamps[stamps["category"] == category].sample(1, random_state=int(rng.integers(2**31))).iloc[0]
        if distinct and any(stamp["en"] == each["en"] for each in objects):
            continue
        side, (width, height) = rng.integers(SMALLEST, LARGEST + 1), stamp["image"].size
        scale = side / max(width, height)
        width, height = max(4, round(scale * width)), max(4, round(scale * height))
        for _ in range(TRIES):
            left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
            box = [left, top, left + width, top + height]
            if all(overlap(box, each["box"]) <= OVERLAP for each in objects):
                image = stamp["image"].resize((width, height), Image.Resampling.LANCZOS)
                picture.paste(image, (left, top), image)
                objects.append({"label": category, "box": box, "en": stamp["en"]})
                break
    return picture, objects


def overlap(first: list[int], second: list[int]) -> float:
    """The share of the smaller box that lies in both."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return max(0, width) * max(0, height) / min(areas)
