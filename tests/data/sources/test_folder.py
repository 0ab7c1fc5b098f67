"""Folders of files as tables: class folders, splits of them, files of one kind, and the mistakes in them."""

from pathlib import Path

import pytest

from sensorium.data.read import read
from sensorium.data.sources.tables import read_source
from sensorium.errors import UserError


def folder(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"the words of {name}")
    return root


def columns(table) -> dict[str, list[str]]:
    return {name: table.frame[name].tolist() for name in table.frame.columns}


def kinds(table) -> dict[str, str]:
    return {column.name: column.kind for column in table.schema.columns}


def test_class_folders(tmp_path):
    folder(tmp_path, "dog/b.JPG", "dog/a.png", "cat/deep/c.jpeg", "cat/.hidden.png", ".git/x.png", "cat/Thumbs.db")
    (tmp_path / "__MACOSX").mkdir()
    found = read(tmp_path, target="label", quiet=True)
    files = ["cat/deep/c.jpeg", "dog/a.png", "dog/b.JPG"]
    assert columns(found) == {"image": files, "label": ["cat", "dog", "dog"], "file": files}
    assert kinds(found) == {"image": "image", "label": "target", "file": "key"}
    assert found.root == tmp_path and found.keys == files


@pytest.mark.parametrize(("ending", "name"), [("wav", "audio"), ("mp4", "video"), ("txt", "text"), ("webp", "image")])
def test_the_column_is_named_by_what_the_files_are(tmp_path, ending, name):
    folder(tmp_path, *(f"{label}/{i}.{ending}" for label in "ab" for i in range(6)))
    frame = read_source(tmp_path).frame
    assert list(frame.columns) == [name, "label", "file"]
    assert frame[name][0] == ("the words of a/0.txt" if name == "text" else f"a/0.{ending}")


def test_split_folders(tmp_path):
    folder(tmp_path, *(f"{split}/{label}/{i}.png" for split in ("train", "test") for label in "ab" for i in range(2)))
    found = read(tmp_path, target="label", quiet=True)
    assert kinds(found) == {"image": "image", "label": "target", "split": "ignored", "file": "key"}
    train, test = found.split(column="split")
    assert [one.split("/")[0] for one in test.keys] == ["test"] * 4 and len(train) == 4
    assert columns(found)["label"] == ["a", "a", "b", "b"] * 2


def test_files_without_classes_may_be_predicted(tmp_path):
    model = read(folder(tmp_path / "known", "a/1.png", "b/2.png"), target="label", quiet=True)
    found = read(folder(tmp_path / "new", "5.png", "6.png"), schema=model.schema)
    assert found.keys == ["5.png", "6.png"]
    assert found.value(1, found.schema.inputs[0]) == "6.png"


def test_files_that_describe_a_folder_are_no_records(tmp_path):
    folder(
        tmp_path, "a/1.png", "a/README.md", "b/2.png", "b/Thumbs.db", "b/License", "README.txt", "classes.txt", "x.json"
    )
    source = read_source(tmp_path)
    assert list(source.frame["image"]) == ["a/1.png", "b/2.png"]
    assert source.notices == (f"Files of {tmp_path} that are no records are left out: 2 such as README.md.",)


MISTAKES = {
    "several kinds": (["a/1.png", "b/1.wav"], "files of several kinds: 1.png (image) and 1.wav (audio)"),
    "a strange file": (["a/1.png", "b/1.png", "b/notes.md"], "notes.md (of no kind that is read)"),
    "an empty class": (["a/1.png", "b/.hidden"], "The class folder {}/b holds no files"),
    "an empty split": (["train/a/1.png", "test/1.png"], "{}/test holds no class folders"),
    "files beside classes": (["a/1.png", "b/1.png", "x.png", "y.png"], "beside them 2 such as x.png, which have no"),
    "nothing": ([".hidden"], "is a folder without files that are read"),
    "no media": (["notes.md"], "is a folder without files that are read"),
    "a table": (["t.csv", "a/1.png"], "is a folder; give the table's file in it: t.csv"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    files, sentence = MISTAKES[mistake]
    with pytest.raises(UserError) as raised:
        read(folder(tmp_path, *files), quiet=True)
    assert sentence.format(tmp_path) in str(raised.value)
    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)


def test_a_text_that_is_not_utf8(tmp_path):
    (folder(tmp_path, "a/1.txt") / "a" / "1.txt").write_bytes(b"\xe9")
    with pytest.raises(UserError, match="1.txt is not UTF-8"):
        read(tmp_path, quiet=True)
