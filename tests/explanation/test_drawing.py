"""The picture of an explanation: where its heat lies, and what it says in words."""

import numpy as np
import pytest
from PIL import Image

from sensorium.errors import UserError
from sensorium.explanation.drawing import describe_heat, draw, resize_heat
from sensorium.explanation.grad_cam import Explanation
from tests.explanation.scenes import photo

CORNER, MIDDLE, NONE = np.zeros((3, 3, 3), dtype=np.float32)
CORNER[0, 2], MIDDLE[1, 1] = 3.0, 1.0
FOUND = Explanation(["circle", "is", "?"], np.stack([CORNER, MIDDLE, NONE]), CORNER / 3, (0.0, 0.0, 1.0, 1.0))


def test_a_words_place_is_said_in_words():
    assert describe_heat(FOUND) == [
        "circle: upper right, 75% of the heat.",
        "is: in the middle, 25% of the heat.",
        "?: nowhere.",
    ]


def test_heat_lies_over_the_square_that_was_read():
    heat = resize_heat(np.ones((3, 3), dtype=np.float32), (0.25, 0.0, 0.75, 1.0), width=40, height=20)
    assert heat.shape == (20, 40) and (heat[:, 10:30] == 1).all()
    assert (heat[:, :10] == 0).all() and (heat[:, 30:] == 0).all()
    smooth = resize_heat(CORNER, (0.0, 0.0, 1.0, 1.0), width=30, height=30)
    assert smooth[:8, 22:].min() > 1 and smooth[12:].max() < 1.5 and smooth[:, :10].max() == 0


def test_a_picture_has_a_panel_for_the_text_and_one_for_each_word(tmp_path):
    grey = np.full((20, 40, 3), 128, dtype=np.uint8)
    draw(FOUND, grey, "yes (0.93)", tmp_path / "heat.png")
    sheet = Image.open(tmp_path / "heat.png")
    assert sheet.text["Description"] == " ".join(describe_heat(FOUND))
    pixels = np.asarray(sheet).astype(int)
    height, width = pixels.shape[:2]
    assert width == 12 + 4 * (220 + 12) and height == 12 + 22 + 110 + 12
    brightness = pixels.sum(axis=2)
    for panel, (x, y) in enumerate([(190, 18), (190, 18), (110, 55)]):  # where each panel's heat is
        left, top = 12 + panel * 232, 34
        inside = brightness[top : top + 110, left : left + 220]
        assert inside[y, x] > inside[100, 10] + 30
    last = brightness[34 : 34 + 110, 12 + 3 * 232 : 12 + 3 * 232 + 220]
    assert last.max() == last.min()


def test_long_lines_are_cut_and_rows_are_begun(tmp_path):
    words = ["a very very very very very very long word indeed"] * 7
    found = Explanation(words, np.ones((7, 2, 2), dtype=np.float32), np.ones((2, 2), dtype=np.float32), FOUND.box)
    draw(found, photo(), "is it?", tmp_path / "heat.jpg")
    assert Image.open(tmp_path / "heat.jpg").size == (12 + 5 * 232, 12 + 2 * (22 + 220 + 12))


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is of no known kind; end it in \.png, \.jpg"):
        draw(FOUND, photo(), "yes", tmp_path / "heat.gif")
    assert not list(tmp_path.iterdir())
