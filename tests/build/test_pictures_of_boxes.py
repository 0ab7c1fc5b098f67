import json

import pandas as pd
import pytest
from PIL import Image

from sensorium import read
from sensorium.build.model import with_pictures
from sensorium.config.schema import Recipe
from sensorium.errors import UserError


def table(folder, pictures):
    for name, size in (("wide", (64, 32)), ("high", (32, 64))):
        for number in range(2):
            Image.new("RGB", size).save(folder / f"{name}-{number}.png")
    things = [json.dumps([{"label": label, "box": [0, 0, 16, 16]}]) for label in "ab"]
    frame = pd.DataFrame(
        {"things": things} | {name: [f"{name}-0.png", f"{name}-1.png"] for name in pictures} | {"size": [1.5, 2.5]}
    )
    return read(frame, {"things": "boxes"}, root=folder, quiet=True)


def recipe(**settings):
    return Recipe.model_validate({"targets": {"things": settings}})


def test_boxes_are_about_the_only_picture(tmp_path):
    cells = with_pictures(table(tmp_path, ["wide"]), Recipe()).cells("things", "boxes")
    assert cells[0][0].points == (0, 0, 0.25, 0.5)


def test_of_several_pictures_the_recipe_names_one(tmp_path):
    read_table = table(tmp_path, ["wide", "high"])
    with pytest.raises(
        UserError, match=r"has 2 inputs of the kind image \(wide, high\).*--head things=places,picture="
    ):
        with_pictures(read_table, Recipe())
    assert with_pictures(read_table, recipe(picture="high")).cells("things", "boxes")[0][0].points == (0, 0, 0.5, 0.25)
    with pytest.raises(UserError, match="picture .*'hihg'"):
        with_pictures(read_table, recipe(picture="hihg"))


def test_boxes_without_a_picture_are_a_sentence(tmp_path):
    with pytest.raises(UserError, match="has 0 inputs of the kind image"):
        with_pictures(table(tmp_path, []), Recipe())
