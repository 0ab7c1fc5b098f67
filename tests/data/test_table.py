"""Reading tables: every source, absence, the schema at prediction, and the mistakes a person makes."""

import io
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.scan import drop_bad_records, scan
from sensorium.data.table import Table
from sensorium.errors import RecordError, UserError

CSV = """id,review,colour,price,sold
a1,a lovely thing to own,red,1.5,yes
a2,not worth the money,blue,,no
a3,"it broke, alas",red,-2,
a4,,blue,3e1,yes
"""
KINDS = {"id": "key", "review": "text", "colour": "category", "price": "number", "sold": "target"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.csv").write_text(CSV)
    return tmp_path


@pytest.fixture
def table(folder) -> Table:
    return read(folder / "t.csv", target="sold", quiet=True)


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.schema.columns}


def rows(table: Table) -> list[list]:
    return [[table.value(i, spec) for spec in table.schema.inputs] for i in range(len(table))]


def test_what_a_csv_holds(table, folder):
    assert kinds(table) == KINDS
    assert table.keys == ["a1", "a2", "a3", "a4"]
    assert table.root == folder
    assert table.rows.tolist() == [1, 2, 3, 4]
    assert rows(table) == [
        ["a lovely thing to own", {"colour": "red"}, {"price": 1.5}],
        ["not worth the money", {"colour": "blue"}, None],
        ["it broke, alas", {"colour": "red"}, {"price": -2.0}],
        [None, {"colour": "blue"}, {"price": 30.0}],
    ]
    assert table.schema.targets[0].labels == ["no", "yes"]
    assert [column.absent for column in table.schema.columns] == [0, 0.25, 0, 0.25, 0.25]


def test_every_source_says_the_same(table, folder):
    frame = pd.read_csv(io.StringIO(CSV))
    records = [{key: value for key, value in row.items() if value == value} for row in frame.to_dict("records")]
    (folder / "t.tsv").write_text(frame.to_csv(index=False, sep="\t"))
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\n")
    frame.to_parquet(folder / "t.parquet")
    frame.index = [7, 7, 8, 9]
    for source in (folder / "t.tsv", folder / "t.jsonl", str(folder / "t.parquet"), frame, records):
        other = read(source, target="sold", quiet=True)
        assert kinds(other) == KINDS
        assert rows(other) == rows(table)
        assert other.keys == table.keys


def test_csv_values_stay_as_written(folder):
    (folder / "t.csv").write_text("\ufeffcode,y\n007,NA\n7,null\n007,NA\n007,nan\n")
    table = read(folder / "t.csv", target="y", columns={"code": "category"}, quiet=True)
    assert [row[0]["code"] for row in rows(table)] == ["007", "7", "007", "007"]
    assert table.schema.targets[0].labels == ["NA", "nan", "null"]


def test_large_integers_with_holes_keep_their_digits(folder):
    pd.DataFrame({"k": pd.array([2**60 + 1, None], dtype="Int64"), "x": [1.0, 2.5]}).to_parquet(folder / "t.parquet")
    table = read(folder / "t.parquet", columns={"k": "category"}, quiet=True)
    assert table.value(0, table.schema.inputs[0]) == {"k": str(2**60 + 1)}
    assert table.value(1, table.schema.inputs[0]) is None


def test_typed_columns_keep_their_types(folder):
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b", "a", "b"]), "b": [True, False, True, None], "s": list("xyxy")})
    frame["n"] = np.array([1.5, np.nan, 2, 3], np.float32)
    frame.to_parquet(folder / "t.parquet")
    for source in (frame, folder / "t.parquet"):
        table = read(source, quiet=True)
        assert kinds(table) == {"c": "category", "b": "category", "s": "category", "n": "number"}
        assert rows(table)[1] == [{"c": "b"}, {"b": "False"}, {"s": "y"}, None]
        assert rows(table)[3] == [{"c": "b"}, None, {"s": "y"}, {"n": 3.0}]


def test_media_in_memory_keep_their_values():
    arrays = [np.full((2, 3, 3), i, np.uint8) for i in range(3)]
    sounds = [(np.zeros(5, np.float32), 8000)] * 3
    pictures = [Image.new("RGB", (2, 2), (i, 0, 0)) for i in range(3)]
    records = [{"a": a, "s": s, "p": p} for a, s, p in zip(arrays, sounds, pictures, strict=True)]
    for source in (records, pd.DataFrame(records)):
        table = read(source, quiet=True)
        assert kinds(table) == {"a": "image", "s": "audio", "p": "image"}
        assert table.value(1, table.schema.inputs[0]) is arrays[1]
        assert table.value(1, table.schema.inputs[2]) is pictures[1]


def test_parquet_media_of_hugging_face(folder):
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    cells = [{"bytes": picture.getvalue(), "path": "x.png"}, None]
    pd.DataFrame({"photo": cells, "n": [1.0, 2.0]}).to_parquet(folder / "t.parquet")
    table = read(folder / "t.parquet", quiet=True)
    assert kinds(table)["photo"] == "image"
    assert rows(table)[0][0] == picture.getvalue()
    assert rows(table)[1][0] is None


def test_statements_are_kept(folder):
    table = read(
        folder / "t.csv",
        target={"price": "number", "sold": None},
        group="colour",
        columns={"id": "ignored"},
        quiet=True,
    )
    assert kinds(table) == KINDS | {"id": "ignored", "price": "target", "colour": "group"}
    assert [(target.name, target.kind) for target in table.schema.targets] == [("price", "number"), ("sold", "class")]
    assert table.groups.tolist() == ["red", "blue", "red", "blue"]
    assert table.keys == ["1", "2", "3", "4"]
    stated = read(folder / "t.csv", target="price", columns={"price": "class", "colour": "text"}, quiet=True)
    assert stated.schema.targets[0].kind == "class"
    assert kinds(stated)["colour"] == "text"


def test_take_and_value_agree(table):
    taken = table.take(np.array([3, 0]))
    assert rows(taken) == [rows(table)[3], rows(table)[0]]
    assert taken.keys == ["a4", "a1"]
    assert taken.rows.tolist() == [4, 1]
    assert rows(table.take(np.array([True, False, False, False]))) == rows(table)[:1]


def test_what_it_understood_is_printed_when_piped(folder, capsys):
    read(folder / "t.csv", target="sold")
    printed = capsys.readouterr().out
    for part in ("review", "target (class)", "25.0%", "'red'", "words on average", "Inputs: review (text)"):
        assert part in printed
    read(folder / "t.csv", target="sold", quiet=True)
    assert not capsys.readouterr().out


def test_at_prediction_a_missing_column_is_absent_and_the_target_is_never_read(table):
    # As many columns as at training, the target in the place of the missing one (DESIGN §8, 14).
    frame = pd.DataFrame(
        {"id": ["b"], "sold": ["yes"], "colour": ["red"], "price": ["2"], "extra": ["a text of words"]}
    )
    new = read(frame, schema=table.schema)
    assert rows(new) == [[None, {"colour": "red"}, {"price": 2.0}]]
    flipped = read(frame.assign(sold="no"), schema=table.schema)
    assert rows(flipped) == rows(new)
    assert [spec.name for spec in new.schema.inputs] == ["review", "colour", "price"]
    assert new.keys == ["b"]


def test_at_prediction_nothing_is_guessed_anew(table):
    new = read([{"colour": 7, "price": "5", "review": "12", "id": "x"}, {}], schema=table.schema)
    assert rows(new) == [["12", {"colour": "7"}, {"price": 5.0}], [None, None, None]]
    assert new.keys == ["x", "2"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"price": "dear"}, "Row 2, column 'price', 'dear': it is not a finite number"),
        ({"price": float("inf")}, "column 'price', inf"),
        ({"review": 5}, "Row 2, column 'review', 5: it is not text"),
        ({"colour": ["red"]}, "column 'colour'"),
    ],
)
def test_at_prediction_a_cell_of_a_wrong_kind_is_absent_and_stops_who_makes_batches_of_it(table, record, told):
    new = read([{"price": "1"}, record], schema=table.schema)
    assert [told in str(misfit) for misfit in new.misfits] == [True]
    assert new.value(1, next(spec for spec in new.schema.inputs if spec.name in record)) is None
    with pytest.raises(RecordError, match="Row 2"):
        Records(new, {})
    assert not new.take(np.array([0])).misfits
    assert [error.row for error in scan(new).bad] == [2]
    assert len(drop_bad_records(new, scan(new), "skip")[0]) == 1
    assert not drop_bad_records(new, scan(new), "absent")[0].misfits


def test_at_prediction_a_number_is_no_picture(folder):
    table = read([{"photo": "a.png"}, {"photo": "b.png"}], quiet=True)
    (misfit,) = read([{"photo": 3}], schema=table.schema).misfits
    assert "Row 1, column 'photo', 3: it is not a path, bytes" in str(misfit)


def test_a_file_with_none_of_the_columns_is_the_wrong_file(table, folder):
    (folder / "new.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="none of the columns that the model reads"):
        read(folder / "new.csv", schema=table.schema)


def test_a_near_name_is_told_and_not_taken(table):
    with pytest.warns(UserWarning, match="its column 'Price' is not read"):
        new = read([{"Price": 3, "colour": "red"}], schema=table.schema)
    assert rows(new) == [[None, {"colour": "red"}, None]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read([{"sold": "no", "colour": "red"}], schema=table.schema)


def test_a_table_read_again_under_a_schema_keeps_what_was_written(folder):
    table = read([{"code": "007", "x": 1}, {"code": "7", "x": 2}], columns={"code": "category"}, quiet=True)
    guessed = read([{"code": "7", "x": 1}, {"code": "8", "x": 2.5}], quiet=True)
    assert kinds(guessed)["code"] == "number"
    again = read(guessed.frame, schema=table.schema, root=folder, rows=np.array([4, 9]))
    assert rows(again)[0][0] == {"code": "7"}
    assert again.rows.tolist() == [4, 9]
    assert again.root == folder


MISTAKES = {
    "a missing file": ("none.csv", None, {}, "There is no file", "t.csv"),
    "a folder": (".", None, {}, "is a folder", ".csv"),
    "an unknown extension": ("t.ods", "x", {}, "extension '.ods'", ".parquet"),
    "an empty file": ("u.csv", "", {}, "is empty", "column names"),
    "no records": ("u.csv", "a,b\n", {}, "holds no records", "row"),
    "no records in JSONL": ("u.jsonl", "\n", {}, "holds no records", "row"),
    "a name twice": ("u.csv", "a,a\n1,2\n", {}, "more than one column named 'a'", "rename"),
    "too many fields": ("u.csv", 'a,b\n"x\ny",2\n\n3,4,5\n', {}, "Row 2 of", "3 fields"),
    "too few fields": ("u.csv", "a,b\n1,2\n3\n", {}, "Row 2 of", "1 field "),
    "a title": ("u.csv", "A title\na,b\n1,2\n3,4\n", {}, "'A title', has 1 field", "delete the lines above"),
    "an open quote": ("u.csv", 'a,b\n1,2\n3,"4\n5,6\n', {}, "line 3", "never closed"),
    "not UTF-8": ("u.csv", b"a,b\n1,\xc3\xa9\xc3\xa8\xc3\xa9\n\xe9,3\n", {}, "Line 3 of", "UTF-8"),
    "UTF-16 cut short": ("u.csv", "a,b\n1,2\n".encode("utf-16")[:-1], {}, "starts as UTF-16", "whole copy"),
    "a malformed line": ("u.jsonl", '{"a": 1}\n{"a": }\n', {}, "Line 2 of", "not JSON"),
    "a line that is no object": ("u.jsonl", '{"a": 1}\n3\n', {}, "Line 2 of", "not an object"),
    "no Parquet": ("u.parquet", "a,b", {}, "cannot be read as Parquet", "write it again"),
    "an unknown target": ("t.csv", None, {"target": "sould"}, "no column 'sould'", "did you mean 'sold'"),
    "an unknown group": ("t.csv", None, {"group": "color"}, "no column 'color'", "did you mean 'colour'"),
    "an unknown stated column": ("t.csv", None, {"columns": {"prize": "number"}}, "no column 'prize'", "'price'"),
    "an unknown kind": ("t.csv", None, {"columns": {"price": "numeric"}}, "'numeric'", "number"),
    "an unknown kind of target": ("t.csv", None, {"target": {"sold": "binary"}}, "'binary'", "class"),
    "a target's kind without target": ("t.csv", None, {"columns": {"sold": "class"}}, "no target", "--target sold"),
    "target and group": ("t.csv", None, {"target": "sold", "group": "sold"}, "both the target and group", "leave"),
    "two groups": (
        "t.csv",
        None,
        {"group": "id", "columns": {"colour": "group"}},
        "both stated to be the group",
        "one",
    ),
    "a word in a number": ("t.csv", None, {"columns": {"colour": "number"}}, "Column 'colour'", "'red' in row 1"),
    "a target of one class": ("u.csv", "x,y\n1,a\n2,a\n", {"target": "y"}, "'y'", "is a in every row"),
    "a target of one number": ("u.csv", "x,y\n1,2.5\n2,2.5\n", {"target": "y"}, "'y'", "number 2.5"),
    "a target of one set of labels": ("u.csv", "x,y\n1,a|b\n2,b|a\n", {"target": "y"}, "'y'", "is a, b in every row"),
    "a target that is absent": ("u.csv", "x,y\n1,\n2,\n", {"target": "y"}, "absent in all 2 rows", "'y'"),
    "an ambiguous target": (
        "u.csv",
        "x,y\n" + "".join(f"{i}.5,word{i}\n" for i in range(30)),
        {"target": "y"},
        "Column 'y'",
        "--column 'y=class'",
    ),
    "an ambiguous column": ("u.csv", "x\na.png\nb.wav\n", {"strict": True}, "Column 'x'", "--column 'x=image'"),
    "no input": ("u.csv", "x,y\n1,a\n1,b\n", {"target": "y"}, "no column left to learn from", "'x': all 2 values"),
    "a key twice": ("u.csv", "k,x\na,1\nb,2\na,3\n", {"key": "k"}, "Row 3, column 'k'", "row 1"),
    "a key that is absent": ("u.csv", "k,x\na,1\n,2\n", {"key": "k"}, "Row 2, column 'k'", "fill it in"),
    "a group that is absent": ("u.csv", "g,x\na,1\n,2\n", {"group": "g"}, "Row 2, column 'g'", "1 of 2 rows"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(folder, mistake):
    name, content, options, what, hint = MISTAKES[mistake]
    if content is not None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read(folder / name, quiet=True, **options)
    told = str(error.value)
    assert what in told
    assert hint in told
    assert "\n" not in told
    assert told.endswith(".")


@pytest.mark.parametrize("records", [[], [{"a": 1}, "b"], [{"a": 1, 1: 2, "1": 3}]])
def test_records_that_make_no_table(records):
    with pytest.raises(UserError):
        read(records, quiet=True)


def test_a_schema_and_statements_exclude_each_other(table):
    with pytest.raises(UserError, match="leave out"):
        read([{"price": 1}], schema=table.schema, target="sold")


def test_only_one_guessed_key_and_only_when_none_is_stated():
    records = [{"a": f"x{i}", "b": f"y{i}", "n": i * 1.5} for i in range(9)]
    assert kinds(read(records, quiet=True)) == {"a": "key", "b": "ignored", "n": "number"}
    assert kinds(read(records, key="b", quiet=True)) == {"a": "ignored", "b": "key", "n": "number"}
