"""A small table of pictures and what they show, for runs of `pretrain`."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

COLOURS = {"red": (230, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (240, 240, 240)}
COLOURS |= {"yellow": (230, 220, 20), "black": (10, 10, 10), "pink": (240, 20, 220)}
SMALL = {
    "photo": "clip_image,size=16,patch=8,width=32,depth=1,heads=2,augmentation=null",
    "caption": "clip_text,width=32,depth=1,heads=2",
}


def pairs(folder: Path, name: str = "pairs.csv", seed: int = 0) -> Path:
    """Writes 49 pictures of two halves, each of one colour, and the table: photo, caption, shade, note."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    rows = []
    for left, right in product(COLOURS, COLOURS):
        pixels = np.empty((16, 16, 3))
        pixels[:, :8], pixels[:, 8:] = COLOURS[left], COLOURS[right]
        pixels += noise.normal(0, 6, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{left}-{right}.png")
        shade = "dark" if "black" in (left, right) else "light"
        rows.append([f"{left}-{right}.png", f"{left} beside {right}", shade, len(rows)])
    order = noise.permutation(len(rows))
    table = pd.DataFrame([rows[place] for place in order], columns=["photo", "caption", "shade", "note"])
    table.to_csv(folder / name, index=False)
    return folder / name


def small(**more: Any) -> dict[str, Any]:
    """Options of `pretrain` for the table, with towers that train in seconds."""
    return {"image": "photo", "text": "caption", "encoders": SMALL, "workers": 0, "quiet": True} | more
