"""What a column is guessed to be, and which columns are ambiguous."""

import io
from datetime import date

import numpy as np
import pytest
from PIL import Image

from sensorium.data.columns.infer import Ambiguous, guess_input
from sensorium.data.columns.parse import objects
from sensorium.data.targets import TARGETS, guess_target

PNG = io.BytesIO()
Image.new("RGB", (2, 2)).save(PNG, "PNG")
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20)
PROSE = ["a lovely little film", "we went home early", "not for me at all", "see it twice"]

INPUTS = [
    (["a.png", "b/c.PNG", "d.png"], "image", "3 of 3 values are paths ending in .png"),
    (["a.jpg", None, "d.png"], "image", "2 of 2 values are paths ending in .jpg or .png"),
    (["a.wav", "b.flac"], "audio", "2 of 2 values are paths ending in .flac or .wav"),
    ([PNG.getvalue(), None], "image", "in memory"),
    ([WAV, WAV], "audio", "in memory"),
    ([np.zeros((4, 4, 3), np.uint8)] * 2, "image", "in memory"),
    ([Image.new("L", (2, 2))], "image", "in memory"),
    ([(np.zeros(9, np.float32), 16000)] * 2, "audio", "in memory"),
    (["a.mp4", "b.MOV"], "video", "2 of 2 values are paths ending in .mov or .mp4"),
    ([b"\x1aE\xdf\xa3" + bytes(9)] * 2, "video", "2 of 2 values are films in memory"),
    ([b"\0\0\0 ftypisom" + bytes(9)] * 2, "video", "films in memory"),
    ([(np.zeros((2, 4, 4, 3), np.uint8), 5.0)] * 2, "video", "films in memory"),
    (["a.tif", "b.HEIC", "c.avif"], "image", "3 of 3 values are paths ending in .avif or .heic or .tif"),
    (["a.m4a", "b.wma", "c.aiff"], "audio", "3 of 3 values are paths ending in .aiff or .m4a or .wma"),
    ([b"II*\0" + bytes(9), b"\0\0\0 ftypavif" + bytes(9)] * 2, "image", "pictures in memory"),
    ([b"\0\0\0 ftypmif1heic", b"\0\0\0 ftypheic" + bytes(9)] * 2, "image", "pictures in memory"),
    ([b"\0\0\0 ftypM4A " + bytes(9), b"FORM\0\0\0\0AIFF"] * 2, "audio", "sounds in memory"),
    ([{"time": [0, 1], "x": [2, 3]}, None], "series", "1 of 1 values are readings with a time"),
    ([[{"T": 0, "x": 2}]] * 2, "series", "readings with a time"),
    (["1", "2.5", "", "-3e2"], "number", "all 3 values are numbers"),
    ([1, 2.5, None, 7], "number", "all 3 values are numbers"),
    (["red", "blue", "red", "blue", "red"], "category", "2 different short values in 5 rows"),
    (["007", "012"] * 10, "category", "2 different short values"),
    ([True, False, None], "category", "true or false"),
    (PROSE, "text", "words on average"),
    (["apple", "pear", "plum", "fig"], "text", "different words"),
    (["嘿嘿", "笑脸", "按键", "鬼脸"], "text", "different words"),
    ([f"u{i:03}" for i in range(30)], "key", "look like identifiers"),
    (["", None, np.nan], "ignored", "all 3 values are absent"),
    (["x", "x", "", "x"], "ignored", "all 3 values are the same: 'x'"),
    ([5, 5, 5], "ignored", "all 3 values are the same"),
    (list(range(1, 31)), "ignored", "counts the rows"),
    ([date(2024, 5, 1), date(2024, 5, 2)], "date", "dates"),
    ([["a"], ["b", "c"]], "text", "lists of texts"),
    (["http://x.org/a.jpg", "https://x.org/b"], "ignored", "nothing is downloaded"),
]


@pytest.mark.parametrize(("values", "kind", "reason"), INPUTS)
def test_the_kind_of_an_input(values, kind, reason):
    guess = guess_input(objects(values))
    assert guess.kind == kind
    assert reason in guess.reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["a.png", "b.wav"], "paths of pictures, but others are like 'b.wav'"),
        (["a.png"] * 9 + ["none"], "90.0% of its values are paths of pictures, but others are like 'none'"),
        (["a.mp4", "b.png"], "50.0% of its values are paths of"),
        (["1", "2", "3", "NA"], "75.0% of its values are numbers, but others are like 'NA'"),
        (["7", "007", "8", "9"], "others are like '007'"),
        ([PNG.getvalue(), WAV], "several kinds (1 audio, 1 image)"),
        ([[[0, 1], [1, 2]]] * 2, "rows of numbers, which may be readings over time or sets of points"),
        ([[["2024-01-01", 1.5]]], "rows of numbers"),
        ([np.zeros((9, 3), np.float32)] * 2, "rows of numbers"),
        (["a.npy", "b.npy"], "paths ending in .npy, which may be readings over time or sets of points"),
        (["a.csv", "b.xyz"], "paths ending in .csv or .xyz"),
        ([{"a": 1}], "type dict"),
        ([1.0, np.inf, 2.0], "infinite"),
        ([f"ann{i % 30}" for i in range(50)], "30 different short values in 50 rows"),
    ],
)
def test_what_is_ambiguous(values, reason):
    with pytest.raises(Ambiguous) as error:
        guess_input(objects(values))
    assert reason in error.value.reason
    assert "ignored" in error.value.kinds or "category" in error.value.kinds


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["good", "bad", ""], "class"),
        (["0", "1", "1"], "class"),
        ([0, 1, None], "class"),
        ([True, False], "class"),
        ([0.0, 1.0, np.nan], "class"),
        ([str(i % 20) for i in range(100)], "class"),
        ([str(i % 21) for i in range(100)], "number"),
        (["1.5", "2"], "number"),
        ([0.0, 1.0, 2.0], "class"),
        (["0.0", "1.0"] * 9, "class"),
        ([0.0, 1.5, 2.0], "number"),
        (["['a', 'b']", "[]"], "labels"),
        ([[0, 1, 1], [0, 0, 0]], "labels"),
        (["a|b", "a"], "labels"),
        ([["a"], [], ["b"]], "labels"),
        (["0", "1", "none"], "class"),
    ],
)
def test_the_kind_of_a_target(values, kind):
    assert guess_target(objects(values)).kind == kind


def test_integers_with_holes_in_a_float_array_are_classes():
    assert guess_target(np.array([0, 1, np.nan, 1])).kind == "class"
    assert guess_target(np.array([0.5, 1, np.nan, 1])).kind == "number"
    assert guess_target(np.array([0, 1, 1])).kind == "class"


@pytest.mark.parametrize("values", [[*map(str, range(50)), "none"], [f"word {i}" for i in range(50)]])
def test_an_ambiguous_target(values):
    with pytest.raises(Ambiguous):
        guess_target(objects(values))


def label_counts(values: list, kind: str) -> dict[str, float]:
    return TARGETS[kind].label_counts(TARGETS[kind].convert(objects(values))[0])


def test_labels_are_counted_in_the_order_of_numbers_or_names():
    assert label_counts(["10", "9", "9", ""], "class") == {"9": 2, "10": 1}
    assert list(label_counts(["b", "a"], "class")) == ["a", "b"]
    assert label_counts([["b", "b"], "a|b", []], "labels") == {"a": 1, "b": 2}


def test_a_million_values_are_guessed_from_a_look_at_each():
    values = objects([f"{i}.png" for i in range(200_000)])
    values[123_457] = "none"
    with pytest.raises(Ambiguous, match="'none'"):
        guess_input(values)
