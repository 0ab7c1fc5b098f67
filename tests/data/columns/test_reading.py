"""Cells are read as they are meant: dates, words for a missing value, units, commas, spellings."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from sensorium.data.columns.dates import date_features, parse_dates
from sensorium.data.columns.parse import objects
from sensorium.data.columns.reading import Reading, as_meant, convert, infer_reading
from sensorium.data.columns.spelling import Names, common_spellings, identity
from sensorium.data.read import read
from sensorium.data.schema import Schema

DAY = 86400


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("TRUE", "True"),
        ("Berlin", "berlin "),
        ("2.0", "2"),
        ("2.50", "2.5"),
        ("a  b", "A b"),
        ("ﬁn", "fin"),
        ("+1.5", "1.5"),
    ],
)
def test_spellings_of_one_value(one, other):
    assert identity(one) == identity(other)


@pytest.mark.parametrize(("one", "other"), [("007", "7"), ("a", "A"), ("1.5", "1.05"), ("10", "1.0"), ("v2.0.0", "v2")])
def test_what_are_two_values(one, other):
    assert identity(one) != identity(other)


def test_the_commonest_spelling_without_blanks_around_is_the_name():
    assert common_spellings({"berlin ": 5, "Berlin": 2, "BERLIN": 3, "Lyon": 1}) == {
        "berlin ": "BERLIN",
        "Berlin": "BERLIN",
    }
    names = Names(["BERLIN", "Lyon"])
    assert names.find("Berlin ") == "BERLIN" and names.find("Rome") is None


def test_two_names_of_an_old_model_that_differ_in_spelling_are_told_apart():
    names = Names(["yes", "Yes"])
    assert [names.find(name) for name in ("yes", "Yes", "YES")] == ["yes", "Yes", "yes"]


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2024-01-05", 19727 * DAY),
        ("2024/1/5", 19727 * DAY),
        ("5.1.2024", 19727 * DAY),
        ("Jan 5, 2024", 19727 * DAY),
        ("5 January 2024", 19727 * DAY),
        ("2024-01-05 01:00:00", 19727 * DAY + 3600),
        ("2024-01-05T01:00:00Z", 19727 * DAY + 3600),
        ("2024-01-05T01:00:00+01:00", 19727 * DAY),
        (date(2024, 1, 5), 19727 * DAY),
        (pd.Timestamp("2024-01-05 01:00"), 19727 * DAY + 3600),
        ("2024-13-45", np.nan),
        ("1", np.nan),
        ("May", np.nan),
        (None, np.nan),
    ],
)
def test_a_date_is_seconds_since_1970(cell, seconds):
    assert parse_dates(objects([cell]), day_first=True).tolist() == pytest.approx([seconds], nan_ok=True)


@pytest.mark.parametrize(
    ("cells", "day_first", "unclear"),
    [(["5/1/2024", "13/1/2024"], True, 0), (["5/1/2024", "1/13/2024"], False, 0), (["5/1/2024", "6/2/2024"], False, 2)],
)
def test_which_of_day_and_month_comes_first_is_seen_or_said_to_be_unclear(cells, day_first, unclear):
    reading, faults = infer_reading(objects(cells))
    assert (reading.holds, reading.day_first) == ("date", day_first)
    assert sum(fault.where.sum() for fault in faults if fault.kind == "unclear-date") == unclear


def test_what_a_model_reads_of_a_date():
    features = date_features(np.array([19727 * DAY + 5400.0, np.nan]), hours=True)
    assert {name: values[0] for name, values in features.items()} == {
        "year": 2024, "trend": 19727.0625, "hour": 1.5, "month": "January", "weekday": "Friday",
    }  # fmt: skip
    assert all(values[1] is None or np.isnan(values[1]) for values in features.values())
    assert "hour" not in date_features(np.array([0.0]), hours=False)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["13.66 EUR", "2 EUR", "1.5 EUR"], [13.66, 2, 1.5]),
        (["1,5", "2,25", "1.234,5"], [1.5, 2.25, 1234.5]),
        (["1,000", "12,500.5", "7"], [1000, 12500.5, 7]),
        (["1", "2", "N/A", "3", "-"], [1, 2, np.nan, 3, np.nan]),
        (["5 %", "7%", "none", "9 %"], [5, 7, np.nan, 9]),
        ([1.5, 2, "?", 4], [1.5, 2, np.nan, 4]),
    ],
)
def test_numbers_however_they_are_written(cells, numbers):
    reading, _ = infer_reading(objects(cells))
    assert reading.holds == "number"
    assert convert(objects(cells), "number", reading)[0].tolist() == pytest.approx(numbers, nan_ok=True)
    assert convert(objects(cells), "number", reading)[1] == []


@pytest.mark.parametrize("cells", [["007", "012", "9"], ["a", "b", "c"], ["12A", "b7", "C"], ["+", "-", "+", "-"]])
def test_what_stays_as_it_is_written(cells):
    reading, faults = infer_reading(objects(cells))
    assert reading == Reading() and not faults
    assert as_meant(objects(cells), reading).tolist() == cells


def shop(count: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "listed": [f"2024-{row % 12 + 1:02d}-{row % 28 + 1:02d}" for row in range(count)],
            "price": ["N/A" if row == 7 else f"{1 + row * 0.37:.2f} EUR" for row in range(count)],
            "city": [("Berlin", "berlin ", "Lyon", "Porto")[row % 4] for row in range(count)],
            "review": [f"a lovely thing number {row}" for row in range(count)],
            "kind": [("TRUE", "True", "FALSE")[row % 3] for row in range(count)],
        }
    )


def test_a_messy_table_is_read_and_what_was_noticed_is_said():
    table = read(shop(), target="kind", quiet=True)
    assert {column.name: column.kind for column in table.schema.columns} == {
        "listed": "date", "price": "number", "city": "category", "review": "text", "kind": "target",
    }  # fmt: skip
    assert {(finding.kind, finding.column) for finding in table.findings} == {
        ("placeholder", "price"), ("number-with-unit", "price"), ("spelling", "city"), ("spelling", "kind"),
    }  # fmt: skip
    assert set(table.cells("city", "category")) == {"Berlin", "Lyon", "Porto"}
    assert table.schema.targets[0].labels == ["FALSE", "TRUE"]
    assert table.schema.column("price").absent == 1 / 60


def test_a_prediction_reads_as_the_schema_that_was_saved_says():
    schema = read(shop(), target="kind", quiet=True).schema
    schema = Schema(**json.loads(schema.model_dump_json()))
    record = {"listed": date(2024, 2, 3), "price": "unknown", "city": "BERLIN", "review": "a", "kind": True}
    with pytest.warns(UserWarning, match="'city' of the table has a value that training never had in 1 of 2 cells"):
        new = read([record, record | {"city": "Rome", "price": 3}], schema=schema)
    assert new.cells("city", "category").tolist() == ["Berlin", "Rome"]
    assert new.cells("price", "number").tolist() == pytest.approx([np.nan, 3], nan_ok=True)
    assert new.encode_target(schema.targets[0])["label"].tolist() == [1, 1]
    assert new.value(0, schema.inputs[0])["listed (month)"] == "February"
    assert not new.misfits


def test_an_index_that_was_saved_is_no_input():
    frame = pd.DataFrame({"Unnamed: 0": [5, 9, 2, 7], "x": [0.5, 1.5, 2.5, 9.0]})
    assert [spec.name for spec in read(frame, quiet=True).schema.inputs] == ["x"]


def test_a_far_number_keeps_its_digits():
    table = read(
        pd.DataFrame({"x": [1.5, 2.5, 3.5], "when": [1.7e9 + 0.125, 1.7e9 + 0.25, 1.7e9]}), target="when", quiet=True
    )
    assert table.encode_target(table.schema.targets[0])["value"].tolist() == [1.7e9 + 0.125, 1.7e9 + 0.25, 1.7e9]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ([["a", None], ["b"]], [["a"], ["b"]]),
        (["['a', 'b']", "[]", "['b']"], [["a", "b"], [], ["b"]]),
        (['["a", null]', '["b"]'], [["a"], ["b"]]),
        ([[0, 1, 1], [0, 0, 0], [1, 0, 0]], [["1", "2"], [], ["0"]]),
        ([[0, 1], [1, 0], [1]], [["0", "1"], ["1", "0"], ["1"]]),
        (["a|b", "b"], [["a", "b"], ["b"]]),
    ],
)
def test_labels_however_they_are_written(cells, labels):
    frame = pd.DataFrame({"x": np.arange(len(cells)) + 0.5, "y": objects(cells)})
    table = read(frame, target={"y": "labels"}, quiet=True)
    assert table.cells("y", "labels").tolist() == labels
