"""Series of readings from whatever holds them, and what is wrong with those that cannot be used."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sensorium.data.media.content import content_id
from sensorium.data.media.decoding import decode, measure
from sensorium.data.read import read
from sensorium.data.scan import scan

HERE = Path()
DAY = 1704067200.0  # 2024-01-01


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


DATES = pd.DataFrame({"x": [1.0, None], "Time": pd.to_datetime(["2024-01-01", "2024-01-02"])})

SAME = [
    [[0, 1.5], [1, None], [2, 3]],
    [[2, 3], [0, 1.5], [1, float("nan")]],
    ((0, "1.5"), (1, ""), (2, "3")),
    np.array([[0, 1.5], [1, np.nan], [2, 3]], np.float32),
    np.array([[0, 1.5], [1, None], [2, 3]], object),
    npy(np.array([[0, 1.5], [1, np.nan], [2, 3]])),
]
NAMED = [
    {"time": [0, 1, 2], "x": [1.5, None, 3]},
    {"x": np.array([1.5, np.nan, 3]), "T": (0, 1, 2)},
    [{"timestamp": 0, "x": 1.5}, {"timestamp": 1}, {"timestamp": 2, "x": 3}],
    b"time,x\n0,1.5\n1,\n2,3\n",
    b"\xef\xbb\xbfseconds;x\r\n0;1.5\r\n1;NaN\r\n2;3\r\n",
    b"x\ttimestamp\n1.5\t0\nNA\t1\n3\t2",
    parquet(pd.DataFrame({"x": [1.5, None, 3], "t": [0, 1, 2]})),
]


@pytest.mark.parametrize(("value", "names"), [(one, ("1",)) for one in SAME] + [(one, ("x",)) for one in NAMED])
def test_the_same_readings_in_any_form(value, names):
    series = decode("series", value, HERE)
    assert series.channels == names
    assert series.named == (names == ("x",))
    assert (series.times.dtype, series.values.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(series.times, [0, 1, 2])
    np.testing.assert_array_equal(series.values, [[1.5], [np.nan], [3]])


@pytest.mark.parametrize(
    "value",
    [
        [["2024-01-01", 1], ["2024-01-02T00:00:00Z", None]],
        [["2024-01-01T01:00:00+01:00", 1], ["2024-01-02", None]],
        [[datetime(2024, 1, 1, tzinfo=UTC), 1], [datetime(2024, 1, 2), None]],
        {"time": np.array(["2024-01-01", "2024-01-02"], "datetime64[D]"), "1": [1, None]},
        b"time,x\n2024-01-01 00:00:00,1\n2024-01-02 00:00:00,\n",
        b"when,x\n2024-01-01T00:00:00Z,1\n2024-01-02,\n",
        parquet(DATES),
    ],
)
def test_dates_become_seconds(value):
    series = decode("series", value, HERE)
    np.testing.assert_array_equal(series.times, [DAY, DAY + 86400])
    np.testing.assert_array_equal(series.values, [[1], [np.nan]])


def test_equal_times_stay_in_their_order_and_parts_of_a_second_count():
    series = decode("series", [["2024-01-01T00:00:00.25", 1], ["2024-01-01", 2], ["2024-01-01", 3]], HERE)
    assert series.times.tolist() == [DAY, DAY, DAY + 0.25]
    assert series.values[:, 0].tolist() == [2, 3, 1]


def test_channels_are_found_by_name_and_a_missing_one_is_all_gaps():
    series = decode("series", {"time": [0, 1], "b": [1, 2], "a": [3, 4]}, HERE, channels=["a", "c", "b"])
    np.testing.assert_array_equal(series.values, [[3, np.nan, 1], [4, np.nan, 2]])
    with pytest.raises(ValueError, match=r"none of its channels \(b\) is one of training's \(a, c\)"):
        decode("series", {"time": [0], "b": [1]}, HERE, channels=["a", "c"])
    with pytest.raises(ValueError, match="it has 3 values a reading where training had 2"):
        decode("series", [[0, 1, 2, 3]], HERE, channels=["1", "2"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([[0, 1], [1]], "the first reading has 2 numbers and reading 2 has 1"),
        ([[0, 1], [1, "high"]], "in reading 2, value 1 is 'high', not a finite number"),
        ({"time": [0], "x": [float("inf")]}, "in reading 1, 'x' is inf, not a finite number"),
        ([[0, [1, 2]]], r"in reading 1, value 1 is \[1, 2\], not a finite number"),
        ([[None, 1]], "reading 1 has no time"),
        ([["noon", 1]], "the time of reading 1 is 'noon', neither seconds nor an ISO date"),
        ([[0, 1], ["2024-01-01", 2]], "the time of reading 2 is '2024-01-01', neither"),
        ({"x": [1]}, r"no column 'time', 'timestamp' or 't' that says when \(it has x\)"),
        ({"time": [1], "x": [1, 2]}, "'x' has 2 readings where 'time' has 1"),
        ({"time": [1], "x": 3}, "'x' is 3, not a list of readings"),
        ([[0, None], [1, None]], "it holds no number, every value is a gap"),
        ([[0], [1]], "it has times and no values"),
        ([], "it holds no readings"),
        (np.zeros((0, 2)), "it holds no readings"),
        ([1, 2, 3], "reading 1 is 1, not a list of numbers"),
        (np.zeros((2, 3, 4)), r"not float64 \[2, 3, 4\]"),
        ([[0, 1e39]], "too large"),
        (np.zeros((2, 300)), "299 channels, more than the bound of 256"),
        (np.zeros((1_000_001, 2), np.int8), "1,000,001 readings, more than the bound of a million"),
        (b"time,x\n" + b"0,1\n" * 1_000_001, "more than the bound of a million"),
        (b"time" + b",x" * 300 + b"\n", "it has 300 channels, more than the bound of 256"),
        (b"0,1\n1,2\n", "its first line is numbers where the names of the columns belong"),
        (b"time,x\n0,1,2\n", "Expected 2 columns, got 3"),
        (b"time,x,x\n0,1,2\n", "more than one column 'x'"),
        (b"time,x\n0,walk\n", "in reading 1, 'x' is 'walk', not a finite number"),
        (b"time,x\n", "it holds no readings"),
        (b"\xff\xfe\x00", "the file is no CSV, Parquet or .npy of readings"),
        (b"PAR1 and no more", "the file is not Parquet that can be read"),
        (npy(np.zeros((5, 2)))[:-3], "the .npy file is cut short or damaged"),
        (npy(np.zeros((2, 2))).replace(b"(2, 2)", b"(9**9)"), ".npy array that can be read"),
        (npy(np.zeros((2, 2))).replace(b"(2, 2), }    ", b"(9999999, 9),}"), "cut short or damaged"),
        (npy(np.array([None]), allow_pickle=True), "the type object, and only numbers are read"),
        ("no.csv", "there is no such file"),
    ],
)
def test_what_cannot_be_used(value, reason):
    with pytest.raises(ValueError, match=reason):
        decode("series", value, HERE)


def test_measures():
    assert measure("series", [[3, 1, None], [10, 2, 5]], HERE) == {"readings": 2, "channels": 2, "span": 7.0}


def test_a_table_of_series_is_scanned_and_a_bad_one_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("time,x\n0,1\n1,high\n")
    long = np.arange(4000.0).reshape(2000, 2)
    other = long.copy()
    other[1000, 1] = -1
    cells = [long, other, long.copy(), None, "a.csv"]
    records = [{"s": cell, "y": 1 + row % 2} for row, cell in enumerate(cells)]
    table = read(records, target="y", columns={"s": "series"}, quiet=True, root=tmp_path)
    found = scan(table)
    assert found.ids["s"][0] == found.ids["s"][2] != found.ids["s"][1]
    assert found.ids["s"][3:].tolist() == [0, 0]
    assert found.facts["s"] == {"records": 3, "readings": 2000, "channels": 1, "span": 3998.0}
    assert str(found.bad[0]).startswith("Row 5, column 's', a.csv: in reading 2, 'x' is 'high', not a finite number;")
    with pytest.warns(UserWarning, match="files of 's'"):
        table.split(0.5, seed=0)


def test_a_hash_sees_into_arrays_within_lists_and_columns():
    long, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    wraps = [lambda one: {"time": [0], "x": one}, lambda one: [one, one], lambda one: np.array([one, None], object)]
    for wrap in wraps:
        assert content_id(wrap(long)) != content_id(wrap(other))
        assert content_id(wrap(long)) == content_id(wrap(long.copy()))
