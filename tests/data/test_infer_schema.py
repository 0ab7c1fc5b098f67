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


def test_what_would_stop_a_fit_is_collected_and_the_rest_is_read_the_likelier_way():
    errors = []
    table = infer_schema(bare_table(FRAME), **ROLES, on_error=errors.append)
    assert [(error.kind, error.column) for error in errors] == [
        ("group-without-value", "shop"),
        ("constant-target", "sold"),
    ]
    noticed = {(finding.kind, finding.column): finding for finding in table.findings}
    assert noticed.keys() == {("wrong-kind", "mixed"), ("wrong-kind", "price")}
    assert noticed["wrong-kind", "mixed"].rows == [5, 8]
    assert "'dear' in row 3" in noticed["wrong-kind", "price"].sentence
    assert table.cells("mixed", "number")[[3, 4, 5]].tolist()[::2] == [4, 5]
    assert np.isnan(table.cells("price", "number")[2])
    assert [spec.name for spec in table.schema.inputs] == ["text", "mixed", "price"]
    assert [spec.name for spec in table.schema.targets] == ["stars"]
    assert table.schema.group is None


def test_without_a_callback_the_first_of_them_raises():
    with pytest.raises(UserError, match="column 'shop' of t.csv: it is the group column, and 1 of 8 rows"):
        infer_schema(bare_table(FRAME), **ROLES)


def test_strict_stops_with_every_column_that_is_not_clear_and_options_that_then_work():
    frame = pd.DataFrame({"text": TEXTS, "look": ["a.png"] * 5 + ["see below"] * 3, "price": [*"1234567", "dear"]})
    with pytest.raises(UserError, match="2 columns of t.csv .*look.*price") as error:
        infer_schema(bare_table(frame), None, None, None, {}, strict=True)
    assert "--column 'look=image' confirms that" in str(error.value)
    stated = {"look": "ignored", "price": "ignored"}
    assert infer_schema(bare_table(frame), None, None, None, stated, strict=True).schema.inputs[0].name == "text"


def test_a_table_that_can_be_understood_has_the_same_schema_either_way():
    frame, errors = FRAME[["text", "stars"]], []
    tables = [
        infer_schema(bare_table(frame), "stars", None, None, {}, on_error=on_error)
        for on_error in (None, errors.append)
    ]
    assert tables[0].schema == tables[1].schema and not errors


def test_a_cell_that_only_reading_it_shows_to_be_wrong_is_absent():
    frame = pd.DataFrame({"text": TEXTS, "photo": [b"\xff\xd8\xff", 3, *[b"\xff\xd8\xff"] * 6]})
    source_kinds = {"photo": Guess("image", "its source says so")}
    table = infer_schema(bare_table(frame), None, None, None, {}, source_kinds)
    assert [(finding.kind, finding.rows) for finding in table.findings] == [("wrong-kind", [2])]
    assert table.cells("photo", "image")[1] is None and not table.misfits


def test_collecting_goes_on_when_no_input_is_left():
    errors = []
    table = infer_schema(bare_table(FRAME[["stars"]]), "stars", None, None, {}, on_error=errors.append)
    assert not table.schema.inputs and [error.kind for error in errors] == ["no-inputs"]
    with pytest.raises(UserError, match="no column left to learn from"):
        infer_schema(bare_table(FRAME[["stars"]]), "stars", None, None, {})


def test_a_statement_that_does_not_fit_the_table_still_raises():
    with pytest.raises(UserError, match="no column 'colour'"):
        infer_schema(bare_table(FRAME), None, None, None, {"colour": "category"}, on_error=[].append)
