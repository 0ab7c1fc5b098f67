"""A small world of aligned inputs: coloured squares, their captions, and a tiny two-tower model that knows them."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from sensorium.data.schema import Column, Schema, make_inputs
from sensorium.encoders.clip_image import ClipImage, ClipImageConfig
from sensorium.encoders.clip_text import ClipText, ClipTextConfig
from sensorium.model import Model
from sensorium.nn.projection import Projection

COLOURS = {
    "red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220),
    "yellow": (230, 220, 40), "black": (15, 15, 15), "white": (245, 245, 245),
}  # fmt: skip
CAPTIONS = ("{}", "a photo of a {}.", "it is {}", "a {} square")


def square(colour: str, chance: np.random.Generator) -> Image.Image:
    """16 x 16 pixels of a colour, not quite even."""
    pixels = np.array(COLOURS[colour]) + chance.normal(0, 12, (16, 16, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make(folder: Path, count: int = 48) -> None:
    """pictures/ and pairs.csv: photo, caption, colour, maker (a group of four records)."""
    chance = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "caption", "colour", "maker"])
        for index in range(count):
            colour = list(COLOURS)[index % len(COLOURS)]
            square(colour, chance).save(folder / f"pictures/{index:02}.png")
            caption = CAPTIONS[index // len(COLOURS) % len(CAPTIONS)].format(colour)
            writer.writerow([f"pictures/{index:02}.png", caption, colour, f"m{index // 4}"])


def model(group: str | None = None, bias: float | None = None, steps: int = 120) -> Model:
    """Two towers for the columns photo and caption; trained to tell the colours, unless `steps` is 0."""
    torch.manual_seed(0)
    texts = [caption.format(colour) for colour in COLOURS for caption in CAPTIONS]
    text = ClipText.build(ClipTextConfig(width=32, depth=1, heads=2, context=24, vocabulary=320), texts, {}, True)
    image = ClipImage(ClipImageConfig(size=16, patch=8, width=32, depth=1, heads=2), summary_only=True)
    columns = [Column(name=name, kind=kind, reason="") for name, kind in (("photo", "image"), ("caption", "text"))]
    if group is not None:
        columns.append(Column(name=group, kind="group", reason=""))
    made = Model(
        {"photo": image, "caption": text},
        {"photo": Projection(32, 16), "caption": Projection(32, 16)},
        temperature=0.1, logit_bias=bias, schema=Schema(columns=columns, inputs=make_inputs(columns), group=group),
    )  # fmt: skip
    _teach(made, texts, steps)
    return made.eval()


def _teach(made: Model, texts: list[str], steps: int) -> None:
    chance = np.random.default_rng(1)
    optimizer = torch.optim.Adam(made.parameters(), 3e-3)
    photo, caption = (made.encoders[name].processor for name in ("photo", "caption"))
    words = caption.pad([caption(one) for one in texts])
    for _ in range(steps):
        labels = torch.arange(24) % len(COLOURS)
        pictures = photo.pad([photo(np.array(square(list(COLOURS)[label], chance))) for label in labels])
        features = made.encode({"photo": pictures, "caption": words})
        seen, said = (made.embedding(name, features[name]) for name in ("photo", "caption"))  # [24, E] each
        chosen = said.unflatten(0, (len(COLOURS), -1))[:, chance.integers(len(CAPTIONS))]
        loss = functional.cross_entropy(10 * seen @ chosen.T, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
