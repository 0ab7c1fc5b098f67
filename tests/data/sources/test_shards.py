"""Tar shards: written by webdataset and by plain tarfile, read by our schema, with webdataset itself as the peer."""

import io
import json
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from sensorium.data.media.content import content_id, read_content
from sensorium.data.read import read
from sensorium.data.records import Records, epoch_batches, load
from sensorium.data.scan import scan
from sensorium.data.sources.shards import expand_braces, shard_summary
from sensorium.data.table import Table
from sensorium.errors import UserError
from tests.data.made_records import Lengths


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5 + seed % 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tar(path: Path, members: dict[str, bytes | str], form: int = tarfile.PAX_FORMAT) -> Path:
    """A shard written by tarfile."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def samples(start: int, count: int) -> list[dict]:
    """Records with a picture (not the fifth, ...), a caption (from the 12th on, so late) and a JSON of two fields."""
    made = []
    for i in range(start, start + count):
        one = {"__key__": f"r{i}", "json": json.dumps({"price": i / 4, "kind": "xyz"[i % 3]}).encode()}
        if i % 5:
            one["png"] = picture(i)
        if i >= 12:
            one["caption.txt"] = f"a nice {i} thing".encode()
        made.append(one)
    return made


@pytest.fixture
def shards(tmp_path) -> Path:
    """30 records in three shards by webdataset."""
    (tmp_path / "shards").mkdir()
    for number in range(3):
        with webdataset.TarWriter(str(tmp_path / "shards" / f"{number:04}.tar"), encoder=False) as file:
            for one in samples(number * 10, 10):
                file.write(one)
    return tmp_path / "shards"


def table(shards: Path, pattern: str = "{0000..0002}.tar") -> Table:
    return read(str(shards / pattern), target="kind", quiet=True)


def test_late_and_missing_members_are_absence_and_all_is_what_webdataset_reads(shards):
    found = table(shards)
    kinds = {column.name: column.kind for column in found.schema.columns}
    assert kinds == {"price": "number", "kind": "target", "image": "image", "caption": "text", "__key__": "key"}
    assert found.shards == 3 and found.root == shards
    peer = {one["__key__"]: one for one in webdataset.WebDataset(str(shards / "{0000..0002}.tar"), shardshuffle=False)}
    assert found.keys == list(peer)
    for row, key in enumerate(found.keys):
        said = {spec.name: found.value(row, spec) for spec in found.schema.inputs}
        image = None if said["image"] is None else read_content(said["image"], found.root)
        caption = None if said["caption"] is None else said["caption"].encode()
        assert image == peer[key].get("png") and caption == peer[key].get("caption.txt")
        assert said["price"] == {"price": json.loads(peer[key]["json"])["price"]}
    assert sum(found.present(spec).sum() for spec in found.schema.inputs if spec.name == "caption") == 18


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_shards_of_plain_tarfile(tmp_path, form):
    long = "folder/" * 12 + "long" * 4  # more than the header's hundred characters with its ending
    members = {"./a.jpg": picture(1), "./a.cls": "3\n", "b.cls": "4", "b.JPG": picture(2), "README": "of the shards"}
    members |= {
        "b.left.png": picture(3),
        f"{long}.photo.left.png": picture(4),
        "dir/c.txt": "lovely day\n",
        ".x.jpg": "?",
    }
    members |= {"c.meta.json": '{"size": 3}', "d.json": '["p", "q"]', "d.pyd": b"pickled", "e.jpg": b""}
    tar(tmp_path / "s.tar", members, form)
    with pytest.warns(UserWarning, match=r"left out: 1 without an ending, 1 in \.pyd"):
        found = read(tmp_path / "s.tar", columns={"json": "ignored", "left": "image", "text": "text"}, quiet=True)
    frame = found.frame.set_index("__key__")
    assert frame.index.tolist() == ["a", "b", long, "dir/c", "c", "d", "e"]
    assert frame["cls"].tolist() == ["3", "4", *[""] * 5]
    assert read_content(frame["image"]["b"], found.root) == picture(2)
    assert read_content(frame["photo.left"][long], found.root) == picture(4)
    assert read_content(frame["left"]["b"], found.root) == picture(3)
    assert frame["text"]["dir/c"] == "lovely day" and frame["meta.size"]["c"] == 3 and frame["json"]["d"] == ["p", "q"]
    with pytest.raises(ValueError, match="it is empty"):
        read_content(frame["image"]["e"], found.root)


def test_members_of_a_record_need_not_stand_together(tmp_path):
    members = {f"{i}.png": picture(i) for i in range(4)} | {f"{i}.cls": "ab"[i % 2] for i in range(4)}
    found = read(tar(tmp_path / "s.tar", members), target="cls", quiet=True)
    assert len(found) == 4 and found.frame["cls"].tolist() == ["a", "b", "a", "b"]


def test_records_of_one_name_in_two_shards_are_two(tmp_path):
    for name in "ab":
        tar(tmp_path / f"{name}.tar", {f"{i}.cls": str(i) for i in range(3)})
    assert read(tmp_path, columns={"cls": "text"}, quiet=True).keys == ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2"]


def test_patterns():
    assert list(expand_braces("s/{08..11}.tar")) == ["s/08.tar", "s/09.tar", "s/10.tar", "s/11.tar"]
    assert list(expand_braces("{a,b}/{1..2}.tar")) == ["a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"]
    assert list(expand_braces("{x}.tar")) == ["{x}.tar"]


@pytest.mark.parametrize("pattern", ["*.tar", "000[0-2].tar", "{0000,0001}.tar", "0000.tar", ""])
def test_every_way_to_name_shards(shards, pattern):
    assert len(table(shards, pattern)) == {"{0000,0001}.tar": 20, "0000.tar": 10}.get(pattern, 30)


MISTAKES = {
    "no match": ("s/x*.tar", {}, "There is no file .*x\\*.tar; check the pattern"),
    "one is missing": ("s/{1..3}.tar", {"1.tar": {"a.cls": "1"}}, "There is no file .*2.tar"),
    "no shards": ("s/*.csv", {"a.csv": {}}, "only tar shards"),
    "compressed": ("s/a.tar", {"a.tar": b"\x1f\x8b\x08 packed"}, "is compressed.* with gunzip"),
    "compressed by name": ("s/a.tar.gz", {"a.tar.gz": b"\x1f\x8b\x08"}, "is a compressed shard"),
    "no tar": ("s/a.tar", {"a.tar": b"no tar file at all" * 100}, "is not a whole tar file"),
    "one file twice": (
        "s/a.tar",
        {"a.tar": {"1.png": b"x", "1.jpg": b"x"}},
        "Record '1' of .* more than one .*'image'",
    ),
    "no JSON": ("s/a.tar", {"a.tar": {"1.json": "{'a': 1}"}}, "1.json in .*a.tar is not JSON"),
    "not UTF-8": ("s/a.tar", {"a.tar": {"1.txt": b"\xff\xfe\xfd"}}, "1.txt in .* is not UTF-8"),
    "nothing": ("s/a.tar", {"a.tar": {}}, "holds no records"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    source, files, sentence = MISTAKES[mistake]
    for name, content in files.items():
        if isinstance(content, dict):
            tar(tmp_path / "s" / name, content)
        else:
            (tmp_path / "s").mkdir()
            (tmp_path / "s" / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence) as raised:
        read(str(tmp_path / source), quiet=True)
    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)


def test_a_shard_cut_anywhere_is_never_taken_for_a_shorter_one(shards):
    whole = (shards / "0001.tar").read_bytes()
    with tarfile.open(shards / "0001.tar") as file:
        starts = [member.offset for member in file.getmembers()]
    ends = [starts[3], starts[3] + 200, starts[4] + 512, starts[4] + 600, starts[-1], len(whole) - 10240, 100]
    for end in ends:
        (shards / "0001.tar").write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"0001\.tar is (cut short at byte|damaged|not a whole tar file)"):
            table(shards)
    (shards / "0001.tar").write_bytes(whole[: starts[3]] + b"?" * 512 + whole[starts[3] + 512 :])
    with pytest.raises(UserError, match=r"0001\.tar is damaged at byte"):
        table(shards)
    (shards / "0001.tar").write_bytes(whole + whole)
    with pytest.raises(UserError, match=r"0001\.tar goes on after its end mark"):
        table(shards)


@pytest.mark.parametrize("change", ["cut", "shifted", "other", "gone"])
def test_a_shard_that_changes_after_it_was_opened_is_named(shards, change):
    found, path = table(shards), shards / "0002.tar"
    data = path.read_bytes()
    if change == "gone":
        path.unlink()
    elif change == "other":  # of the same sizes, so that only the names tell the records apart
        with webdataset.TarWriter(str(path), encoder=False) as file:
            for one in samples(20, 10):
                file.write(one | {"__key__": one["__key__"].replace("r", "q")})
    else:
        path.write_bytes(data[:3000] if change == "cut" else bytes(512) + data)
    bad = scan(found).bad
    assert {error.row for error in bad} == {row + 1 for row in range(20, 30) if row % 5} if change != "cut" else bad
    assert all("0002.tar" in error.value for error in bad)
    assert ("no longer the file" in bad[-1].reason) != (change == "gone")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_record_is_read_once_an_epoch(shards, workers, monkeypatch):
    """With fewer shards than readers, on one and on two processes, and from the middle of an epoch on."""
    found = read(str(shards / "*.tar"), target="kind", columns={"caption": "ignored"}, quiet=True)
    records = Records(found, {"image": Picture()}, scan(found).ids)
    for world in (1, 2):
        seen, contents = [], {}
        for rank in range(world):
            steps = epoch_batches(len(found), 4, seed=0, epoch=1, rank=rank, world=world)
            for start in (0, 5):
                batches = list(load(records, [(rows, 1) for (rows,) in steps[start:]], workers))
                if start == 0:
                    whole = batches
                for one, two in zip(whole[start:], batches, strict=True):
                    assert one.keys == two.keys and (one.ids["image"] == two.ids["image"]).all()
            seen += [key for batch in whole for key in batch.keys if key]
            for batch in whole:
                contents |= zip(batch.keys, batch.inputs["image"]["sum"].tolist(), strict=True)
        assert sorted(seen) == sorted(found.keys)
        for row in range(30):
            told = np.asarray(Image.open(io.BytesIO(picture(row)))).sum() if row % 5 else 0
            assert contents[f"r{row}"] == told


class Picture(Lengths):
    """The sum of a picture, that tells which one it is."""

    def __call__(self, value, augment=False):
        return super().__call__(value) | {"sum": int(value.sum())}

    def pad(self, items):
        sums = np.array([item["sum"] if item else 0 for item in items])
        return super().pad(items) | {"sum": torch.from_numpy(sums)}


def test_the_sentence_on_who_reads_what():
    assert shard_summary(8, 8000, 1, 3) == (
        "8 shards with 8000 records: 1 process with 3 workers read single records out of any shard, each record once"
        " an epoch."
    )
    assert "1 shard with 10 records: 2 processes read single records" in shard_summary(1, 10, 2, 0)
    assert "fewer shards than the 6 readers costs nothing" in shard_summary(2, 10, 2, 3)


def test_no_warning_where_all_is_read(shards):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(table(shards)) == 30


def test_content_ids_are_those_of_the_files(shards):
    found = table(shards)
    ids = scan(found, workers=2).ids["image"]
    assert ids.tolist() == [content_id(picture(i)) if i % 5 else 0 for i in range(30)]
