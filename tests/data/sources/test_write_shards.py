"""A table and its shards: the same records, kinds and contents; whole or absent; nothing written over unasked."""

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sensorium.data.read import read
from sensorium.data.scan import scan
from sensorium.data.sources import write_shards as packing
from sensorium.data.sources.write_shards import pack
from sensorium.errors import UserError

COUNT = 30


@pytest.fixture
def records(tmp_path) -> Path:
    """A CSV with pictures, text, numbers, a code, labels, holes everywhere, a column without any cell and a key."""
    rows = []
    generator = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(
            {
                "name": f"item-{i * 7 % 31}", "row": i, "code": f"{i % 4:03}", "photo": f"{i}.png" if i % 3 else "",
                "caption": f"a nice {i} thing" if i % 4 else "", "price": f"{i / 4:.2f}" if i % 5 else "", "none": "",
                "a.b": "pq"[i % 2], "tags": ("r|s", "s", "|")[i % 3], "kind": "xyz"[i % 3],
            }
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


TARGETS = {"kind": None, "tags": None}


@pytest.mark.parametrize("seed", [0, None])
def test_the_shards_hold_what_the_table_held(records, tmp_path, seed):
    assert pack(records, tmp_path / "s", records=7, seed=seed) == {
        "out": str(tmp_path / "s"),
        "shards": 5,
        "records": 30,
    }
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [f"{i:06}.tar" for i in range(5)]
    one = read(records, target=TARGETS, quiet=True)
    two = read(tmp_path / "s", target=TARGETS, quiet=True)
    columns = [(column.name, column.kind, column.absent) for column in one.schema.columns]
    assert [(column.name, column.kind, column.absent) for column in two.schema.columns] == [
        *columns,
        ("__key__", "ignored", 0.0),
    ]
    assert two.schema.inputs == one.schema.inputs and two.schema.targets == one.schema.targets
    assert (two.keys == one.keys) == (seed is None) and sorted(two.keys) == sorted(one.keys)
    where = [one.keys.index(key) for key in two.keys]
    for name in set(one.frame.columns) - {"photo", "none"}:
        assert one.frame[name].iloc[where].tolist() == two.frame[name].tolist()
    for name, ids in scan(one).ids.items():
        np.testing.assert_array_equal(ids[where], scan(two).ids[name])


def test_files_go_in_byte_for_byte_and_the_same_table_gives_the_same_shards(records, tmp_path):
    for name in "ab":
        pack(records, tmp_path / name, seed=3)
    assert (tmp_path / "a" / "000000.tar").read_bytes() == (tmp_path / "b" / "000000.tar").read_bytes()
    with tarfile.open(tmp_path / "a" / "000000.tar") as file:
        assert file.extractfile("2.photo.png").read() == (tmp_path / "1.png").read_bytes()
        assert json.load(file.extractfile("2.json")) == {
            "name": "item-7", "row": "1", "code": "001", "photo": None, "caption": "a nice 1 thing", "price": "0.25",
            "none": None, "a.b": "q", "tags": "s", "kind": "y",
        }  # fmt: skip
        assert "1.photo.png" not in file.getnames()


def test_shards_of_shards_and_of_parquet_keep_numbers(records, tmp_path):
    frame = pd.DataFrame(
        {"n": [1.5, 2.0, None], "i": [3, 4, 5], "b": [True, False, True], "l": [["a"], [], ["b", "c"]]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    pack(tmp_path / "t.parquet", tmp_path / "s", seed=None)
    pack(tmp_path / "s", tmp_path / "again", seed=None)
    found = read(tmp_path / "again", columns={"l": "ignored"}, quiet=True)
    one = read(tmp_path / "t.parquet", columns={"l": "ignored"}, quiet=True)
    assert [c.kind for c in found.schema.columns][:4] == [c.kind for c in one.schema.columns]
    assert found.frame["i"].tolist() == [3, 4, 5] and found.frame["n"].tolist()[:2] == [1.5, 2.0]
    assert found.frame["l"].tolist() == [["a"], [], ["b", "c"]] and found.keys == ["1", "2", "3"]


def test_what_is_there_is_written_over_only_when_asked(records, tmp_path):
    pack(records, tmp_path / "s", records=7)
    before = (tmp_path / "s" / "000000.tar").read_bytes()
    with pytest.raises(UserError, match="holds shards already \\(5\\); add --overwrite"):
        pack(records, tmp_path / "s")
    pack(records, tmp_path / "s", overwrite=True, seed=1)
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["000000.tar"]
    assert (tmp_path / "s" / "000000.tar").read_bytes() != before
    for out, sentence in ((tmp_path, "other things than shards, such as 0.png"), (records, "is a file")):
        with pytest.raises(UserError, match=sentence):
            pack(records, out, overwrite=True)


def test_a_file_that_is_gone_stops_it_and_leaves_nothing(records, tmp_path):
    (tmp_path / "4.png").unlink()
    with pytest.raises(UserError, match=r"Row 5, column 'photo', 4.png: there is no such file"):
        pack(records, tmp_path / "s", records=2)
    assert not (tmp_path / "s").exists() and not list(tmp_path.glob(".*"))


def test_mistakes(records, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--records is 0"):
        pack(records, tmp_path / "s", records=0)
    with pytest.raises(UserError, match="no column 'foto'"):
        pack(records, tmp_path / "s", columns={"foto": "image"})
    with pytest.raises(UserError, match="Column 'a/b' of the table cannot name a file"):
        pack([{"a/b": "1.png"}, {"a/b": "2.png"}], tmp_path / "s")
    with pytest.raises(UserError, match="'photo' of the table is ambiguous.*--column 'photo=image'"):
        pack([{"photo": "1.png"}, {"photo": "a sentence"}], tmp_path / "s")
    with pytest.raises(UserError, match="Row 1, column 'photo'.* decoded already"):
        pack([{"photo": np.zeros((2, 2, 3), np.uint8)}], tmp_path / "s")
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(UserError, match=r"pip install 'sensorium\[shards\]'"):
        pack(records, tmp_path / "s")
    assert packing.DIGITS == 6 and not (tmp_path / "s").exists()
