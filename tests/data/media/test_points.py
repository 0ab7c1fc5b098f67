"""Sets of points from whatever holds them, and what is wrong with those that cannot be used."""

import io
from pathlib import Path

import numpy as np
import pytest

from sensorium.data.media.decoding import decode, measure

HERE = Path()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        [[0, 1.5], [2, 3]],
        ((0, "1.5"), ("2", 3)),
        np.array([[0, 1.5], [2, 3]]),
        np.array([[0, 1.5], [2, 3]], object),
        npy(np.array([[0, 1.5], [2, 3]], np.float16)),
        b"0 1.5\n2 3\n",
        b"\xef\xbb\xbfx,y\r\n0,1.5\r\n2,3",
        b"x;y\n0;1.5\n2;3\n",
        b"\n0\t1.5\n\n2\t3\n",
        b"x y\n0   1.5\n2\t3\n",
    ],
)
def test_the_same_points_in_any_form(value):
    points = decode("points", value, HERE)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, [[0, 1.5], [2, 3]])
    assert measure("points", value, HERE) == {"points": 2, "numbers": 2}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([[0, 1], [1]], "the first point has 2 numbers and point 2 has 1"),
        ([[0, 1], [1, "far"]], "in point 2, number 2 is 'far', not a finite number"),
        ([[0, 1], [1, None]], "number 2 of point 2 is missing, infinite or too large"),
        ([[0, 1e39]], "number 2 of point 1 is missing, infinite or too large"),
        ([1, 2], "point 1 is 1, not a list of numbers"),
        ([[1], [2]], "two coordinates are the least"),
        ([], "it holds no points"),
        (np.zeros((0, 2)), "it holds no points"),
        (np.zeros((2, 3, 4)), r"not float64 \[2, 3, 4\]"),
        ({"x": [1]}, "not dict"),
        (np.zeros((2, 300)), "300 numbers a point, more than the bound of 256"),
        (np.zeros((1_000_001, 2), np.int8), "1,000,001 points, more than the bound of a million"),
        (b"1," * 300 + b"1\n", "301 numbers a point, more than the bound of 256"),
        (b"1 2 3\n4 5\n", "the number of columns changed from 3 to 2"),
        (b"3\nwater\nO 0 0 0\n", "the file is no table of numbers"),
        (b"x,y\n", "it holds no points"),
        (b" \n", "it holds no points"),
        (b"\xff\xfe\x00", "the file is no .npy and no text of numbers"),
        (npy(np.zeros((5, 2)))[:-3], "cut short or damaged"),
        ("no.xyz", "there is no such file"),
    ],
)
def test_what_cannot_be_used(value, reason):
    with pytest.raises(ValueError, match=reason):
        decode("points", value, HERE)


def test_the_numbers_a_point_are_those_of_training():
    assert decode("points", [[1, 2]], HERE, numbers_each=2).shape == (1, 2)
    with pytest.raises(ValueError, match="it has 2 numbers a point where training had 3"):
        decode("points", [[1, 2]], HERE, numbers_each=3)
