"""A shop that the tests of search look through: pictures in folders, a table of wares, and a tiny untrained model."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.encoders.clip_text import ClipText, ClipTextConfig
from sensorium.encoders.image_processor import ImageProcessor, settings_of
from sensorium.families.clip import ClipConfig, clip
from sensorium.model import Model

NAMES = ["a red shoe", "a blue lamp", "two old clocks", "a green chair", "a small radio", "the garden by the river"]
SIZE = 16
WARES = "wares.csv"


def model(seed: int = 0) -> Model:
    """Two towers of one block each, with random weights."""
    torch.manual_seed(seed)
    words = ClipText.build(ClipTextConfig(width=32, depth=1), NAMES, {})
    image = ClipImageConfig(size=SIZE, patch=8, width=32, depth=1, heads=2)
    config = ClipConfig(image=image, text=words.config, dim=24)
    return clip(config, words.processor, ImageProcessor(settings_of(image, SIZE))).eval()


def make(folder: Path, count: int = 30) -> None:
    """pictures/ (one in three in pictures/shoes), wares.csv of them, and models in runs/pairs and runs/other."""
    chance = np.random.default_rng(0)
    (folder / "pictures" / "shoes").mkdir(parents=True)
    rows = []
    for index in range(count):
        place = f"pictures/{'shoes/' if index % 3 == 0 else ''}{index:02}.png"
        pixels = chance.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        pixels[..., index % 3] //= 1 + index % 4
        Image.fromarray(pixels).save(folder / place)
        rows.append(
            {
                "image": place,
                "sku": f"W-{index}",
                "price": f"{3 + index * 1.5:.2f}",
                "stock": index,
                "code": f"{index:03}",
                "colour": ("red", "green", "blue")[index % 3],
            }
        )
    write(folder / WARES, rows)
    for seed, name in enumerate(("pairs", "other")):
        model(seed).save(folder / "runs" / name / "model")


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """`rows` as a CSV file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
