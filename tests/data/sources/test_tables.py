"""Files of tables in the forms that people have them: separators, encodings, compression, JSON, workbooks, Arrow."""

import bz2
import datetime
import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from sensorium.data.sources import text_files
from sensorium.data.sources.tables import read_source
from sensorium.errors import UserError

PLAIN = {"a": ["1", "2"], "b": ["x", "y"]}
CSV = "a,b\n1,x\n2,y\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def cells(source) -> dict[str, list]:
    return {name: list(column) for name, column in read_source(source).frame.items()}


FORMS = {
    "semicolons": ("t.csv", CSV.replace(",", ";"), "separated by semicolons"),
    "tabs": ("t.csv", CSV.replace(",", "\t"), "separated by tabs"),
    "bars": ("t.csv", CSV.replace(",", "|"), "separated by vertical bars"),
    "commas in a TSV": ("t.tsv", CSV, "separated by commas"),
    "Excel's first line": ("t.csv", "sep=;\r\na;b\r\n1;x\r\n2;y\r\n", "separated by semicolons"),
    "Excel's first line after a mark": ("t.csv", b"\xef\xbb\xbfsep=,\na,b\n1,x\n2,y\n", None),
    "UTF-8 with a mark": ("t.csv", CSV.encode("utf-8-sig"), None),
    "UTF-16": ("t.csv", CSV.encode("utf-16"), "read as UTF-16"),
    "UTF-16 without a mark": ("t.csv", CSV.encode("utf-16-be"), "read as UTF-16-BE"),
    "UTF-32": ("t.csv", CSV.encode("utf-32"), "read as UTF-32"),
    "blank lines": ("t.csv", f"\n{CSV}\n\n  \n", None),
    "unnamed empty columns": ("t.csv", "a,b,,\n1,x,,\n2,y,,\n", None),
    "gzip": ("t.csv.gz", gzip.compress(CSV.encode()), None),
    "gzip of tabs": ("t.tsv.gz", gzip.compress(CSV.replace(",", "\t").encode()), None),
    "bzip2": ("t.csv.bz2", bz2.compress(CSV.encode()), None),
    "xz": ("T.CSV.XZ", lzma.compress(CSV.encode()), None),
    "JSON lines, gzip": ("t.jsonl.gz", gzip.compress(b'{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n'), None),
    "JSON lines in UTF-16": ("t.jsonl", '{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n'.encode("utf-16"), "UTF-16"),
    "JSON records": ("t.json", json.dumps([{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]), None),
    "JSON columns": ("t.json", json.dumps(PLAIN), None),
    "JSON of pandas": ("t.json", pd.DataFrame(PLAIN).to_json(), None),
    "JSON lines in .json": ("t.json", '{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n', None),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_in_any_usual_form(form):
    name, content, notice = FORMS[form]
    source = read_source(put(name, content))
    assert {column: list(values) for column, values in source.frame.items()} == PLAIN
    assert len(source.notices) == (notice is not None) and (notice or "") in "".join(source.notices)


def test_a_decimal_comma_and_a_comma_in_a_name_are_no_separators():
    source = read_source(put("t.csv", "price, EUR;review\n1,50;fine, really\n2,25;poor\n12,00;\n"))
    assert list(source.frame["price, EUR"]) == ["1,50", "2,25", "12,00"]
    assert list(source.frame["review"]) == ["fine, really", "poor", ""]
    assert source.notices == ("The columns of t.csv are separated by semicolons.",)
    assert len(read_source(put("t.csv", "name;title,price\nx;y,3\nu;v,4\n")).frame.columns) == 2


def test_windows_1252_is_noticed_with_what_it_makes():
    source = read_source(put("t.csv", "a,b\n1,x\n2,für 5 €\n".encode("cp1252")))
    assert source.frame["b"][1] == "für 5 €"
    assert source.notices[0].startswith("Line 3 of t.csv is not UTF-8") and "'für'" in source.notices[0]


MISTAKES = {
    "damaged UTF-8": ("t.csv", "a,b\nüö,é\n".encode() + b"\xff,2\n", "Line 3 of t.csv is not UTF-8"),
    "no text": ("t.csv", b"PK\3\4\0\0\0\xff" * 9, "it holds null bytes"),
    "a ragged row": ("t.csv", 'a,b\n"x\ny",2\n3,4,5\n6,7\n', "Row 2 of t.csv (line 4) has 3 fields"),
    "a ragged row after sep=": ("t.csv", "sep=;\na;b\n1;2\n3;4;5\n", "Row 2 of t.csv (line 4) has 3 fields"),
    "a title": ("t.csv", "Sales\n\na,b\n1,2\n3,4\n", "'Sales', has 1 field and those from record 2"),
    "a comment": ("t.csv", "# by me, today\na,b,c\n1,2,3\n3,4,5\n", "delete the lines above the column names"),
    "a padded title": ("t.csv", "Sales,,\na,b,c\n1,2,3\n", "Columns 2 and 3 of t.csv have values and no name"),
    "a name twice": ("t.csv", "a;a\n1;2\n", "more than one column named 'a'"),
    "only a header": ("t.csv", "a;b\n", "holds no records"),
    "gzip cut short": ("t.csv.gz", gzip.compress(CSV.encode() * 99)[:-9], "t.csv.gz is no whole .gz file"),
    "no gzip": ("t.csv.gz", CSV, "t.csv.gz is no whole .gz file"),
    "no bzip2": ("t.csv.bz2", CSV, "t.csv.bz2 is no whole .bz2 file"),
    "JSON cut short": ("t.json", '[{"a": 1},', "t.json is not JSON"),
    "columns of different lengths": ("t.json", '{"a": [1, 2], "b": [3]}', "'a' has 2 cells and 'b' 1"),
    "one JSON record": ("t.json", '{"a": 1}', "write it as a list of objects"),
    "JSON records by name": (
        "t.json",
        '{"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 4}}',
        "write it as a list of objects",
    ),
    "blank lines only": ("t.csv", "\n\n", "t.csv"),
    "nothing in gzip": ("t.csv.gz", gzip.compress(b""), "t.csv.gz"),
    "COCO": ("t.json", '{"images": [{"id": 1}], "annotations": [{"id": 1}]}', "sensorium table makes a table of it"),
    "no workbook": ("t.xlsx", "PK", "xlsx"),
    "no Arrow": ("t.arrow", "hello", "cannot be read as Arrow"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake):
    name, content, sentence = MISTAKES[mistake]
    with pytest.raises(UserError) as raised:
        read_source(put(name, content))
    assert sentence in str(raised.value)
    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)


def test_what_unpacks_to_far_more_than_a_table_is_not_read(monkeypatch):
    monkeypatch.setattr(text_files, "_LEAST_BOUND", 1 << 20)
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        read_source(put("t.csv.gz", gzip.compress(bytes(1 << 22))))


def test_a_sheet_of_a_workbook():
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "First"
    for row in ([], ["a", "day", None], [1, datetime.datetime(2024, 5, 1), None], ["x", None, None]):
        book.active.append(row)
    book.create_sheet("Empty")
    book.save("t.xlsx")
    first = {"a": [1, "x"], "day": [datetime.datetime(2024, 5, 1), None]}
    assert cells("t.xlsx") == cells("t.xlsx#First") == first
    book.create_sheet("Old one").append(["c"])
    book["Old one"].append([3])
    book.save("t.xlsx")
    assert cells("t.xlsx#Old one") == {"c": [3]}
    with pytest.raises(UserError, match="has 2 sheets; say which one is meant: 't.xlsx#First', 't.xlsx#Old one'"):
        read_source("t.xlsx")
    with pytest.raises(UserError, match="no sheet 't.xlsx#Olt one'; did you mean 't.xlsx#Old one'"):
        read_source("t.xlsx#Olt one")


ARROW = pa.table({"a": pa.array(["1", "2"]), "code": pa.array([7, 107]).dictionary_encode(), "n": pa.nulls(2)})


def test_arrows_files_and_its_interface():
    with pa.OSFile("t.feather", "wb") as file, pa.ipc.new_file(file, ARROW.schema) as writer:
        writer.write_table(ARROW)
    with pa.OSFile("t.arrow", "wb") as file, pa.ipc.new_stream(file, ARROW.schema) as writer:
        writer.write_table(ARROW)

    class OtherTable:
        def __arrow_c_stream__(self, requested_schema=None):
            return ARROW.__arrow_c_stream__(requested_schema)

    expected = {"a": ["1", "2"], "code": [7, 107], "n": [None, None]}
    for source in ("t.feather", "t.arrow", ARROW, OtherTable()):
        assert cells(source) == expected
    with pytest.raises(UserError, match="A ChunkedArray is no table"):
        read_source(ARROW["a"])


@pytest.mark.parametrize("kind", ["pandas", "pandas of Arrow", "arrow", "parquet", "parquet of strings"])
def test_a_column_that_is_declared_categorical_is_a_category(kind):
    codes = ["s", "l"] * 6 if "strings" in kind else [7, 107] * 6
    frame = pd.DataFrame({"shop": pd.Categorical(codes), "once": pd.Categorical(range(12)), "n": codes})
    if kind == "pandas of Arrow":
        frame["shop"] = frame["shop"].astype(pd.ArrowDtype(pa.dictionary(pa.int8(), pa.int64())))
    frame.to_parquet("t.parquet")
    tables = {"arrow": pa.table(ARROW.take([0, 1] * 6)).rename_columns(["n", "shop", "m"])}
    kinds = read_source(tables.get(kind, "t.parquet" if "parquet" in kind else frame)).kinds
    assert {name: guess.kind for name, guess in kinds.items()} == {"shop": "category"}


def test_types_of_pandas_and_arrow_become_plain_values():
    day = datetime.date(2024, 5, 1)
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None], "Int64"),
            "flag": pd.array([True, None], "boolean"),
            "text": pd.array(["x", None], "string[pyarrow]"),
            "lasts": pd.to_timedelta(["90s", None]),
            "month": pd.PeriodIndex(["2024-05", None], freq="M"),
            "time": [datetime.time(1, 2), None],
            "price": pd.array([1.5, None], pd.ArrowDtype(pa.decimal128(5, 2))),
            "tags": pd.array([["u", "v"], None], pd.ArrowDtype(pa.list_(pa.string()))),
            "day": pd.array([day, None], pd.ArrowDtype(pa.date32())),
        }
    )
    first = {"whole": 1, "flag": True, "text": "x", "lasts": 90.0, "month": pd.Timestamp(day), "time": "01:02:00"}
    first |= {"price": 1.5, "tags": ["u", "v"], "day": day}
    read = read_source(frame).frame
    assert read.iloc[0].to_dict() == first
    assert read.iloc[1].isna().all()


def test_a_dict_of_columns():
    pictures = np.zeros((2, 3, 3))
    columns = {"a": ("1", "2"), "b": pd.Series(["x", "y"], index=[4, 5]), "n": np.array([1, 2]), "p": pictures}
    read = cells(columns)
    assert {name: read[name] for name in "ab"} == PLAIN and read["n"] == [1, 2] and read["p"][1].shape == (3, 3)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"a": "x"}, "'a' is a str, not a list of cells; put a single record in a list"),
        ({"a": [1, 2], "b": [1]}, "columns of the table have different lengths"),
        (pd.DataFrame({("a", "b"): [1]}), "names of 2 levels"),
        (None, "A NoneType is no table"),
        ([["a", 1]], "Record 1 is a list"),
    ],
)
def test_what_is_no_table_is_one_sentence(source, sentence):
    with pytest.raises(UserError, match=sentence):
        read_source(source)


def test_a_folder_as_img2dataset_writes_it_is_its_shards(tmp_path):
    import tarfile

    for number in range(2):
        Path(f"{number}.txt").write_text(f"words {number}")
        with tarfile.open(f"0000{number}.tar", "w") as tar:
            tar.add(f"{number}.txt")
        Path(f"{number}.txt").unlink()
        pd.DataFrame({"url": ["u"]}).to_parquet(f"0000{number}.parquet")
        put(f"0000{number}_stats.json", "{}")
    source = read_source(tmp_path)
    assert list(source.frame["text"]) == ["words 0", "words 1"] and source.shards == 2
    assert "left out: 4 such as 00000.parquet" in source.notices[0]
    put("labels.csv", CSV)
    with pytest.raises(UserError, match=r"holds shards and beside them labels.csv; give the shards as '.*\*.tar'"):
        read_source(tmp_path)


def test_a_folder_with_metadata_is_that_table(tmp_path):
    put("metadata.csv", "file_name,label\nx/1.png,a\nx/2.png,b\n")
    source = read_source(tmp_path)
    assert list(source.frame["file_name"]) == ["x/1.png", "x/2.png"] and source.root == tmp_path
