"""The schema: inputs arranged from columns, saved and restored, described."""

import io
import json

import pytest
from pydantic import ValidationError
from rich.console import Console

from sensorium.data.schema import Column, Schema, TargetSpec, make_inputs


def column(name: str, kind: str) -> Column:
    return Column(name=name, kind=kind, reason="stated")


def test_media_and_cells_are_an_input_each_up_to_six():
    columns = [column("photo", "image"), *(column(f"n{i}", "number") for i in range(5)), column("y", "target")]
    inputs = make_inputs(columns)
    assert [(one.name, one.modality) for one in inputs] == [("photo", "image"), *((f"n{i}", "table") for i in range(5))]


def test_a_seventh_input_groups_numbers_and_categories():
    columns = [column("photo", "image"), *(column(f"n{i}", "number") for i in range(5)), column("c", "category")]
    inputs = make_inputs(columns)
    assert [one.name for one in inputs] == ["photo", "table"]
    assert inputs[1].columns == ["n0", "n1", "n2", "n3", "n4", "c"]


def test_the_grouped_input_never_takes_a_columns_name():
    columns = [column("table", "text"), column("table 2", "target"), *(column(f"n{i}", "number") for i in range(7))]
    assert [one.name for one in make_inputs(columns)] == ["table", "table 3"]


def test_columns_that_are_no_input_make_none():
    assert make_inputs([column(kind, kind) for kind in ("group", "key", "ignored", "target")]) == []


def test_a_schema_survives_json():
    columns = [column("a", "text"), column("y", "target")]
    schema = Schema(
        columns=columns, inputs=make_inputs(columns), targets=[TargetSpec(name="y", kind="class", labels=["no", "yes"])]
    )
    assert Schema(**json.loads(json.dumps(schema.model_dump()))) == schema
    with pytest.raises(ValidationError):
        Schema(**schema.model_dump(), color="red")


def test_ignoring_a_column_arranges_the_inputs_anew():
    columns = [column(f"n{i}", "number") for i in range(7)]
    schema = Schema(columns=columns, inputs=make_inputs(columns))
    smaller = schema.ignoring("n3", "it is the fold")
    assert [one.name for one in smaller.inputs] == ["n0", "n1", "n2", "n4", "n5", "n6"]
    assert smaller.column("n3").reason == "it is the fold"


def test_the_description_names_every_column_even_one_in_brackets():
    columns = [Column(name="[red]a", kind="text", reason="prose", absent=0.25), column("y", "target")]
    schema = Schema(columns=columns, inputs=make_inputs(columns), targets=[TargetSpec(name="y", kind="number")])
    console = Console(width=140, file=io.StringIO())
    console.print(schema.describe({"[red]a": "'[b]x'"}))
    printed = console.file.getvalue()
    for part in ("[red]a", "'[b]x'", "25.0%", "prose", "target (number)", "Inputs: [red]a (text)."):
        assert part in printed
