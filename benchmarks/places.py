"""Objects in scenes: which of eight kinds of stamps a picture has, and where.

    python benchmarks/places.py SHARED/data/stamps/stamps.csv [--scenes 4000] [--test 500] [--seed 0] [--folder places]
        [--set NAME=VALUE ...] [--grounding | --tasks EPOCHS] [--scratch]

A scene of 128 x 128 pixels has one to six stamps of a drawing program, pasted by their alpha at 24 to 56 pixels on a
drawn background, with little overlap. A label is one of the eight categories that have 26 stamps or more. A fifth of
the stamps, by their English captions, stands in no training scene. The fit chooses all else, with the pretrained
weights of '.[models]', or with --scratch without them. Printed: mAP at .5 and .5:.95 on unseen scenes of seen stamps,
with the interval and chance, by scores of one beside it, and on scenes of unseen stamps; the seconds from the table
to the scored run. Floors: mAP .5 .35 (goal .6) under 30 minutes on two AVX2 cores, above that with scores of one.

--grounding: a text names a stamp of a scene by its caption, once for each of its stamps, and the target is its box
alone; a second target of the same model, once a scene, is all of them by their captions. Printed: the share whose box
has an IoU of .5, beside that of the box that is most often right, and of a stamp of the scene at random. Floor: .5.

--tasks: a caption counts the stamps of each category, `things` are as ever, and `regions` have the stamps' own captions
as labels: one model of all three, after so many passes, beside one of each after as many.
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

import sensorium
from sensorium.config.options import value_of
from sensorium.metrics import point
from sensorium.metrics.kinds.boxes import PictureBoxes, place_metrics

SIDE, SMALLEST, LARGEST, MOST = 128, 24, 56, 6  # pixels of a scene and of a stamp's longer side; stamps
FEWEST_STAMPS, UNSEEN, OVERLAP, TRIES, OPAQUE = 26, 0.2, 0.1, 30, 64


# The texts are texts, not categories; the questions about a scene are learned together, its picture encoded once.
QUESTIONS = {
    "columns": {"text": "text", "stamps": "ignored"}, "group": "scene", "sampling": "grouped", "epochs": 8,
}  # fmt: skip


class Task(NamedTuple):
    """A target of the scenes: its kind, and the metric by which it is told how good a model is."""

    kind: str
    metric: str


STEPS = {"refit": False, "patience": 1000, "batch_size": 32, "learning_rate": 0.001}  # the same for every task
TASKS = {"caption": Task("text", "chrf"), "things": Task("boxes", "map_50"), "regions": Task("boxes", "map_50")}


class Stamp(NamedTuple):
    """A stamp: its picture, RGBA, cut to what is opaque; its category, its English caption."""

    image: Image.Image
    category: str
    caption: str


def load_stamps(path: Path, seed: int) -> tuple[list[Stamp], list[Stamp]]:
    """The stamps of the frequent categories, those of training and, of other captions, a fifth that are unseen."""
    table = pd.read_csv(path).dropna(subset=["en"])
    counts = table["category"].value_counts()
    table = table[table["category"].isin(counts.index[counts >= FEWEST_STAMPS])]
    captions = sorted(table["en"].unique())
    unseen = set(np.random.default_rng(seed).choice(captions, round(UNSEEN * len(captions)), replace=False))
    sides: tuple[list[Stamp], list[Stamp]] = ([], [])
    for picture, category, caption in zip(table["picture"], table["category"], table["en"], strict=True):
        image = Image.open(path.parent / picture).convert("RGBA")
        image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > OPAQUE)).getbbox())
        sides[caption in unseen].append(Stamp(image, category, caption))
    return sides


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


def draw_scene(rng: np.random.Generator, stamps: list[Stamp], distinct: bool = False) -> tuple[Image.Image, list[dict]]:
    """A picture and its stamps, each with `label`, `box` in pixels and `caption`. distinct: no two of one caption."""
    picture, objects = draw_background(rng), []
    by_category: dict[str, list[Stamp]] = {}
    for stamp in stamps:
        by_category.setdefault(stamp.category, []).append(stamp)
    for _ in range(rng.integers(1, MOST + 1)):
        of_category = by_category[rng.choice(list(by_category))]
        stamp = of_category[rng.integers(len(of_category))]
        if distinct and any(stamp.caption == each["caption"] for each in objects):
            continue
        scale = rng.integers(SMALLEST, LARGEST + 1) / max(stamp.image.size)
        width, height = (max(4, round(scale * side)) for side in stamp.image.size)
        for _ in range(TRIES):
            left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
            box = [left, top, left + width, top + height]
            if all(overlap(box, each["box"]) <= OVERLAP for each in objects):
                image = stamp.image.resize((width, height), Image.Resampling.BICUBIC)
                picture.paste(image, (left, top), image)
                objects.append({"label": stamp.category, "box": box, "caption": stamp.caption})
                break
    return picture, objects


def overlap(first: list[int], second: list[int]) -> float:
    """The share of the smaller box that lies in both."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return max(0, width) * max(0, height) / min(areas)


def make_scenes(folder: Path, name: str, stamps: list[Stamp], count: int, seed: int) -> list[dict]:
    """`count` scenes as rows of a table: picture, things, part; their files go into FOLDER."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        picture, objects = draw_scene(rng, stamps)
        picture.save(folder / f"{name}-{number}.jpg", quality=92)
        things = [{"label": each["label"], "box": each["box"]} for each in objects]
        rows.append({"picture": f"{name}-{number}.jpg", "things": json.dumps(things), "part": name})
    return rows


def make_tasks(folder: Path, name: str, stamps: list[Stamp], count: int, seed: int) -> list[dict]:
    """`count` scenes, each with a caption that counts its stamps, its stamps by category, and by their captions."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        picture, objects = draw_scene(rng, stamps)
        picture.save(folder / f"{name}-{number}.jpg", quality=92)
        counts = Counter(each["label"] for each in objects)
        columns = {
            target: json.dumps([{"label": each[label].rstrip("."), "box": each["box"]} for each in objects])
            for target, label in (("things", "label"), ("regions", "caption"))
        }
        caption = ", ".join(f"{counts[label]} {label}" for label in sorted(counts))
        rows.append({"picture": f"{name}-{number}.jpg", "caption": caption, "part": name} | columns)
    return rows


def make_questions(folder: Path, name: str, stamps: list[Stamp], count: int, seed: int) -> list[dict]:
    """`count` scenes, and for each of a scene's stamps a row with its caption and, as the target, its box. The first
    row of a scene has all of its stamps and their captions as a second target.
    """
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        picture, objects = draw_scene(rng, stamps, distinct=True)
        picture.save(folder / f"{name}-{number}.jpg", quality=92)
        scene = {"picture": f"{name}-{number}.jpg", "scene": f"{name}-{number}", "part": name}
        regions = [{"label": each["caption"].rstrip("."), "box": each["box"]} for each in objects]
        for asked in objects:
            scene["regions"] = json.dumps(regions) if asked is objects[0] else ""
            text = "the " + asked["caption"].rstrip(".").removeprefix("A ").removeprefix("An ").removeprefix("The ")
            place = json.dumps([{"label": "it", "box": asked["box"]}])
            rows.append({"text": text, "place": place, "stamps": len(objects)} | scene)
    return rows


def judge(run: sensorium.Run, table: pd.DataFrame, target: str, folder: Path) -> dict[str, float]:
    """The metrics of what the run writes for a table, and mAP .5 with scores of one."""
    sides: list[list[PictureBoxes]] = [[], []]
    written = sensorium.write(run, table.assign(picture=[str(folder / name) for name in table["picture"]]))
    for side, cells in zip(sides, (table[target], written[target]), strict=True):
        for entries in map(json.loads, cells):
            boxes = np.array([entry["box"] for entry in entries], dtype=float).reshape(-1, 4)
            scores = [(entry.get("score", 1.0) * entry.get("label_score", 1.0)) ** 0.5 for entry in entries]
            side.append(PictureBoxes([entry["label"] for entry in entries], boxes, np.array(scores)))
    figures = {name: point(metric, len(table)) for name, metric in place_metrics(*sides).items()}
    equal = [picture._replace(scores=np.ones(len(picture.scores))) for picture in sides[1]]
    return figures | {"map_50 with scores of one": point(place_metrics(sides[0], equal)["map_50"], len(table))}


def compare_tasks(table: pd.DataFrame, folder: Path, settings: dict) -> None:
    """Prints how good a model of three tasks is, and a model of each, all after the same steps."""
    for targets in (list(TASKS), *([target] for target in TASKS)):
        began = time.monotonic()
        table[["picture", "part", *targets]].to_csv(folder / "tasks.csv", index=False)
        run = sensorium.fit(
            folder / "tasks.csv", folder / "-".join(targets), target={target: TASKS[target].kind for target in targets},
            split="part", held_out="test", overwrite=True, near_copies=False, **STEPS | settings,
        )  # fmt: skip
        seconds = time.monotonic() - began
        for target in targets:
            value = run.metrics["targets"][target][TASKS[target].metric]
            between = f"[{value['low']:.3f}, {value['high']:.3f}], chance {value['chance']:.3f}"
            print(f"{' + '.join(targets)}: {target} {TASKS[target].metric} {value['value']:.3f} {between}", flush=True)
        print(f"{' + '.join(targets)}: {seconds:.0f} s", flush=True)


def main() -> None:
    """Makes the scenes, fits, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--test", type=int, default=500, help="scenes of seen stamps, and as many of unseen ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("places"))
    parser.add_argument("--scratch", action="store_true")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--grounding", action="store_true")
    what.add_argument("--tasks", type=int, metavar="EPOCHS")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the fit")
    arguments = parser.parse_args()
    if arguments.scratch:
        os.environ["SENSORIUM_PACKS"] = "0"
    settings = {name: value_of(text, name) for name, _, text in (option.partition("=") for option in arguments.set)}
    folder, seed = arguments.folder, arguments.seed
    folder.mkdir(parents=True, exist_ok=True)
    seen, unseen = load_stamps(arguments.stamps, seed)
    make, target = (make_questions, "place") if arguments.grounding else (make_scenes, "things")
    targets = {target: "boxes"} | ({"regions": "boxes"} if arguments.grounding else {})
    if arguments.tasks is not None:
        make = make_tasks
    rows = make(folder, "train", seen, arguments.scenes, seed) + make(
        folder, "test", seen, arguments.test, seed + 10_000
    )
    if arguments.tasks is not None:
        compare_tasks(pd.DataFrame(rows), folder, {"epochs": arguments.tasks, "seed": seed} | settings)
        return
    new = pd.DataFrame(make(folder, "unseen", unseen, arguments.test, seed + 20_000))
    pd.DataFrame(rows).to_csv(folder / "scenes.csv", index=False)
    began = time.monotonic()
    run = sensorium.fit(
        folder / "scenes.csv", folder / "run", target=targets, split="part", held_out="test", seed=seed,
        overwrite=True, near_copies=False, **(QUESTIONS if arguments.grounding else {}) | settings,
    )  # fmt: skip
    seconds = time.monotonic() - began
    metric = "accuracy_50" if arguments.grounding else "map_50"
    value = run.metrics["targets"][target][metric]
    between = f"[{value['low']:.3f}, {value['high']:.3f}]"
    print(f"seed {seed}: {metric} {value['value']:.3f} {between}, chance {value['chance']:.3f}, in {seconds:.0f} s")
    print(run.metrics["written"][target]["sentence"])
    for name, table in {"seen stamps": pd.DataFrame(rows).query("part == 'test'"), "unseen stamps": new}.items():
        figures = judge(run, table.reset_index(drop=True).drop(columns="part"), target, folder)
        if arguments.grounding:
            figures["a stamp at random"] = (1 / table["stamps"]).mean()
        print(f"{name}: " + ", ".join(f"{metric} {figure:.3f}" for metric, figure in figures.items()), flush=True)


if __name__ == "__main__":
    main()
