"""Folders that Datasets saved, with Datasets itself as the peer."""

import io
import sys
import wave

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from sensorium.data.media.content import read_content
from sensorium.data.read import read
from sensorium.data.scan import scan
from sensorium.errors import UserError

FEATURES = datasets.Features(
    {
        "photo": datasets.Image(),
        "voice": datasets.Audio(),
        "caption": datasets.Value("string"),
        "price": datasets.Value("float32"),
        "kind": datasets.ClassLabel(names=["x", "y", "z"]),
        "tags": datasets.Sequence(datasets.ClassLabel(names=["p", "q"])),
        "photos": datasets.Sequence(datasets.Image()),
    }
)
COUNT = 30


@pytest.fixture(autouse=True, scope="module")
def no_bars():
    datasets.disable_progress_bars()


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def sound(seed: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, 8000, 0, "NONE", ""))
        written.writeframes(np.random.default_rng(seed).integers(-99, 99, 100 + seed).astype("<i2").tobytes())
    return file.getvalue()


def saved(count: int = COUNT, start: int = 0) -> datasets.Dataset:
    """As Arrow columns, since Datasets encodes sounds by another library only."""
    rows = range(start, start + count)
    columns = {
        "photo": [{"bytes": picture(i), "path": None} if i % 4 else None for i in rows],
        "voice": [{"bytes": sound(i), "path": f"{i}.wav"} if i % 5 else None for i in rows],
        "caption": [f"a nice {i} thing" if i % 3 else None for i in rows],
        "price": [i / 4 if i % 6 else None for i in rows],
        "kind": [i % 3 if i != 7 else None for i in rows],
        "tags": [[i % 2, 1] if i % 7 else [] for i in rows],
        "photos": [[{"bytes": picture(i), "path": None}] for i in rows],
    }
    return datasets.Dataset(pa.table(columns, FEATURES.arrow_schema), datasets.DatasetInfo(features=FEATURES))


def test_what_datasets_reads(tmp_path):
    saved().save_to_disk(tmp_path / "saved", num_shards=3)
    with pytest.warns(UserWarning, match="'photos' of .* several media in a cell"):
        table = read(tmp_path / "saved", target={"kind": None, "tags": None}, quiet=True)
    kinds = {column.name: column.kind for column in table.schema.columns}
    assert kinds == {
        "photo": "image", "voice": "audio", "caption": "text", "price": "number", "kind": "target", "tags": "target",
    }  # fmt: skip
    assert [spec.labels for spec in table.schema.targets] == [["x", "y", "z"], ["p", "q"]]
    peer = datasets.load_from_disk(tmp_path / "saved")
    peer = peer.cast_column("photo", datasets.Image(decode=False)).cast_column("voice", datasets.Audio(decode=False))
    for row, told in enumerate(peer):
        said = {spec.name: table.value(row, spec) for spec in table.schema.inputs}
        for name in ("photo", "voice"):
            assert (said[name] and read_content(said[name], table.root)) == (told[name] and told[name]["bytes"])
        assert said["caption"] == told["caption"]
        assert said["price"] == (None if told["price"] is None else {"price": told["price"]})
    assert table.frame["kind"].tolist() == ["" if i == 7 else "xyz"[i % 3] for i in range(COUNT)]
    assert table.frame["tags"].tolist() == [["pq"[i % 2], "q"] if i % 7 else [] for i in range(COUNT)]
    assert not scan(table, workers=2).bad


def test_no_media_are_kept_in_memory(tmp_path):
    saved().save_to_disk(tmp_path)
    with pytest.warns(UserWarning, match="several media"):
        table = read(tmp_path, target={"kind": None, "tags": None}, quiet=True)
    held = sum(len(str(value)) for name in ("photo", "voice") for value in table.frame[name])
    assert held < COUNT * 2 * 60
    assert table.frame["photo"][1].startswith("data-00000-of-00001.arrow#")


def test_splits_are_a_column(tmp_path):
    parts = {"train": saved(), "test": saved(5, start=30).remove_columns("price")}
    parts = {name: part.remove_columns("photos") for name, part in parts.items()}
    datasets.DatasetDict(parts).save_to_disk(tmp_path)
    table = read(tmp_path, target="kind", columns={"tags": "ignored"}, quiet=True)
    train, test = table.split(column="split")
    assert (len(train), len(test)) == (30, 5)
    price = next(spec for spec in table.schema.inputs if spec.name == "price")
    assert not test.present(price).any() and train.present(price).sum() == 25
    photo = next(spec for spec in table.schema.inputs if spec.name == "photo")
    assert read_content(test.value(3, photo), table.root) == picture(33)


def test_a_selection_of_a_column_named_split_is_a_mistake(tmp_path):
    part = datasets.Dataset.from_dict({"split": ["a", "b"], "x": [1, 2]})
    datasets.DatasetDict({"train": part}).save_to_disk(tmp_path)
    with pytest.raises(UserError, match="a column 'split' too; rename"):
        read(tmp_path, quiet=True)


def test_a_damaged_folder(tmp_path):
    saved().save_to_disk(tmp_path)
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"no arrow")
    with pytest.raises(UserError, match="is no whole folder of Datasets"):
        read(tmp_path, quiet=True)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    saved().save_to_disk(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'sensorium\[datasets\]'"):
        read(tmp_path, quiet=True)


def test_an_arrow_file_cut_short_after_it_was_opened(tmp_path):
    saved().remove_columns("photos").save_to_disk(tmp_path)
    table = read(tmp_path, target="kind", columns={"tags": "ignored"}, quiet=True)
    file = tmp_path / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:1000])
    assert "no longer the file" in scan(table).bad[0].reason
