"""Collecting what is wrong with the columns of a table, where reading it would stop at the first."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sensorium.data.columns.infer import Guess
from sensorium.data.infer_schema import infer_schema
from sensorium.data.schema import Schema
from sensorium.data.table import Table
from sensorium.errors import UserError


def bare_table(frame: pd.DataFrame) -> Table:
    return Table(frame, Schema(columns=[], inputs=[]), Path(), np.arange(1, len(frame) + 1), "t.csv")


MIXED = ["1", "2", "3", "4", "red", "5", "6", "seven"]
TEXTS = [f"a sentence about the number {number}" for number in range(8)]
FRAME = pd.DataFrame(
    {
        "text": TEXTS,
        "mixed": MIXED,
        "price": ["1", "2", "dear", "4", "5", "6", "7", "8"],
        "shop": ["a", "a", None, "b", "b", "c", "c", "c"],
        "sold": ["yes"] * 8,
        "stars": [1, 2, 3, 4, 5, 1, 2, 3],
    }
)
ROLES = {"target": ["sold", "stars"], "group": "shop", "key": None, "columns": {"price": "number"}}


def test_each_column_that_cannot_be_understood_is_reported_and_ignored_for_that_reason():
    errors = {}
    schema = infer_schema(bare_table(FRAME), **ROLES, on_error=errors.__setitem__)
    assert list(errors) == ["mixed", "price", "shop", "sold"]
    assert all(isinstance(error, UserError) for error in errors.values())
    assert "'mixed' of t.csv is ambiguous" in str(errors["mixed"])
    assert "Row 3, column 'price' of t.csv: 'dear' cannot be read as number" in str(errors["price"])
    for name, error in errors.items():
        column = schema.column(name)
        assert (column.kind, column.reason) == ("ignored", str(error))
    assert schema.column("shop").absent == 1 / 8
    assert [spec.name for spec in schema.inputs] == ["text"]
    assert [spec.name for spec in schema.targets] == ["stars"]
    assert schema.group is None


def test_without_a_callback_the_first_of_them_raises():
    with pytest.raises(UserError, match="'mixed' of t.csv is ambiguous"):
        infer_schema(bare_table(FRAME), **ROLES)


def test_a_table_that_can_be_understood_has_the_same_schema_either_way():
    frame, errors = FRAME[["text", "stars"]], {}
    schemas = [
        infer_schema(bare_table(frame), "stars", None, None, {}, on_error=on_error)
        for on_error in (None, errors.__setitem__)
    ]
    assert schemas[0] == schemas[1] and not errors


def test_an_input_is_ignored_for_a_cell_that_only_reading_it_shows_to_be_wrong():
    frame = pd.DataFrame({"text": TEXTS, "photo": [b"\xff\xd8\xff", 3, *[b"\xff\xd8\xff"] * 6]})
    errors = {}
    source_kinds = {"photo": Guess("image", "its source says so")}
    schema = infer_schema(bare_table(frame), None, None, None, {}, source_kinds, on_error=errors.__setitem__)
    assert list(errors) == ["photo"] and "Row 2, column 'photo'" in str(errors["photo"])
    assert schema.column("photo").reason == str(errors["photo"])
    assert [spec.name for spec in schema.inputs] == ["text"]


def test_collecting_goes_on_when_no_input_is_left():
    errors = {}
    schema = infer_schema(bare_table(FRAME[["mixed", "stars"]]), "stars", None, None, {}, on_error=errors.__setitem__)
    assert not schema.inputs and list(errors) == ["mixed"]
    with pytest.raises(UserError, match="no column left to learn from"):
        infer_schema(bare_table(FRAME[["stars"]]), "stars", None, None, {})


def test_a_statement_that_does_not_fit_the_table_still_raises():
    with pytest.raises(UserError, match="no column 'colour'"):
        infer_schema(bare_table(FRAME), None, None, None, {"colour": "category"}, on_error={}.__setitem__)
