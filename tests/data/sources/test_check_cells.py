"""Cells that no library writes: half a character, numbers beyond all floats; and names that are no text."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.config.options import collect_options
from sensorium.data.columns.names import as_names
from sensorium.data.read import read
from sensorium.errors import UserError


def table(**cells):
    return [{"review": f"good {i}", "kind": "ab"[i % 2]} | cells for i in range(6)]


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"review": "half \ud800"}, "column 'review' of the table holds half a character"),
        ({"kind": "\udc00"}, "Row 1, column 'kind' of the table holds half a character"),
        ({"\ud800": 1}, "half a character"),
        ({"tags": ["a", {"\ud800": 1}]}, "half a character"),
        ({"x": 10**400}, "a whole number of 400 digits"),
        ({"x": -(10**5000)}, "a whole number of 5000 digits"),
    ],
)
@pytest.mark.parametrize("make", [list, lambda rows: pd.DataFrame(rows, dtype=object)])
def test_what_no_library_writes_is_a_sentence(cells, fault, make):
    try:
        source = make(table(**cells))
    except UnicodeEncodeError:
        pytest.skip("pandas makes no such table")
    with pytest.raises(UserError, match=fault):
        read(source, target="kind", quiet=True)


@pytest.mark.parametrize("number", [2**63, 2**64 + 1, 10**300, -(10**300)])
def test_large_numbers_and_nul_are_read(number):
    records = [row | {"x": number + i, "review": f"a\0b {i}"} for i, row in enumerate(table())]
    assert len(read(records, target="kind", quiet=True)) == 6


def test_names_that_are_no_text_are_those_of_the_table():
    frame = pd.DataFrame({0: ["x y", "y z"] * 4, 1: [1.5, 2.5] * 4, 2: ["a", "b"] * 4, 3: ["g", "h"] * 4})
    made = read(frame, target=2, group=3, columns={0: "text"}, inputs=[0, 1], quiet=True)
    assert [spec.name for spec in made.schema.targets] == ["2"] and made.schema.group == "3"
    assert [(spec.name, spec.modality) for spec in made.schema.inputs] == [("0", "text"), ("1", "table")]
    assert read(frame.assign(**{"4": range(8)}), target={2: "class"}, key=4, quiet=True).schema.key == "4"
    options = {"target": [2], "align": [(0, 1), "0,1"], "encoders": {0: "vit"}, "image": 5, "seed": 3}
    named = {"target": ["2"], "align": [["0", "1"], "0,1"], "encoders": {"0": "vit"}, "image": "5", "seed": 3}
    assert collect_options(options | {"settings": {}}) == named
    assert as_names((1, ("a", 2.5))) == ["1", ["a", "2.5"]]


def test_a_compact_text_that_is_not_utf_8_is_a_sentence(tmp_path):
    offsets = pa.array([0, 5, 10], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xff\xfe ab\xff\xfe cd")])
    pq.write_table(pa.table({"review": texts, "kind": ["a", "b"]}), tmp_path / "k.parquet")
    with pytest.raises(UserError, match="k.parquet holds what cannot be read"):
        read(tmp_path / "k.parquet", quiet=True)
