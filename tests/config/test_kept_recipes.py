"""The recipes of recipes/: each is one, and a table of the columns that it names goes through it to a scored run."""

from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import sensorium

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
COLOURS = ("red", "green", "blue", "teal", "gray")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_carries_out(recipe, tmp_path):
    records = []
    for number, (colour, _) in enumerate(product(COLOURS, range(8))):
        image = Image.new("RGB", (64, 64), colour)
        image.putpixel((number, 0), (0, 0, 0))  # so that no two pictures are the same
        image.save(tmp_path / f"{number}.png")
        for question, answer in (("what color is it?", colour), ("is it red?", "yes" if colour == "red" else "no")):
            part = "test" if number % 4 == 0 else "train"
            records.append((question, f"{number}.png", number, answer, part, "color"))
    columns = ["question", "photo", "image", "answer", "part", "question_type"]
    pd.DataFrame(records, columns=columns).to_csv(tmp_path / "questions.csv", index=False)
    changed = {"epochs": 1, "batch_size": 16, "validation": 0.2, "workers": 0}
    run = sensorium.fit(tmp_path / "questions.csv", tmp_path / "run", recipe=str(recipe), quiet=True, **changed)
    assert set(run.metrics["inputs"]["answer"]) == {"metric", "question", "photo"}
    assert run.metrics["inputs"]["answer"]["metric"] == "accuracy"
    assert len(run.model.schema.targets[0].labels) == 7


def test_there_are_some():
    assert {path.stem for path in RECIPES} >= {"easy_vqa", "easy_vqa_albef"}
