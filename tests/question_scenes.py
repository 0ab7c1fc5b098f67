"""Pictures of coloured shapes and what several people answer about them."""

import csv
import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS, SHAPES = ("red", "green", "blue"), ("circle", "square")


def make(folder: Path, pictures: int, name: str = "questions", seed: int = 0) -> Path:
    """Writes pictures and NAME.csv into `folder`: three questions of each, answered by three to five people."""
    chance, rows = random.Random(seed), []
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for index in range(pictures):
        colour, shape, asked = chance.choice(COLOURS), chance.choice(SHAPES), chance.choice(COLOURS)
        photo = f"pictures/{name}-{index}.png"
        image = Image.new("RGB", (16, 16), tuple(chance.randrange(225, 256) for _ in range(3)))
        draw = ImageDraw.Draw(image)
        (draw.ellipse if shape == "circle" else draw.rectangle)((2 + index % 3, 3, 12 + index % 3, 13), fill=colour)
        image.save(folder / photo)
        for question, answer, kind in (
            ("What colour is the shape?", colour, "what"),
            ("What is the shape?", shape, "what"),
            (f"Is the shape {asked}?", "yes" if asked == colour else "no", "is"),
        ):
            said = [answer] * chance.choice([3, 4, 5]) + (["a thing"] if chance.random() < 0.3 else [])
            rows.append([photo, question, json.dumps(said), kind])
    with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["photo", "question", "answer", "question_type"], *rows])
    return folder / f"{name}.csv"
