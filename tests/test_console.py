"""Cells as tables and sentences show them."""

import numpy as np
import pytest

from sensorium.console import shorten


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (b"12345", "5 bytes"),
        (np.zeros((2, 3), dtype=np.float32), "array 2x3 float32"),
        (np.float64(1.5), "1.5"),
        ("two\n lines", "two lines"),
        ("x" * 31, "x" * 27 + "..."),
        ("x" * 30, "x" * 30),
        ([1, 2], "[1, 2]"),
    ],
)
def test_a_cell_is_shown_on_one_line_in_thirty_letters(value, text):
    assert shorten(value) == text
