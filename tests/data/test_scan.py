"""The pass before training: hashes, facts, every bad value named, set aside and written down."""

import io
import wave

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sensorium.data.media import audio, image
from sensorium.data.media.content import content_id
from sensorium.data.read import read
from sensorium.data.scan import drop_bad_records, leave_out, scan, write_bad_records
from sensorium.errors import RecordError, UserError

KINDS = {"photo": "image", "voice": "audio", "words": "text", "size": "number"}


def photo(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def voice(rate, seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, rate, 0, "NONE", ""))
        written.writeframes(np.full(round(rate * seconds), 1000, "<i2").tobytes())
    return file.getvalue()


@pytest.fixture
def records(tmp_path):
    """200 records with holes; the photo of row 7 is that of row 3; `bad` makes five of them bad."""
    rows = []
    for i in range(200):
        (tmp_path / f"{i}.png").write_bytes(photo(20 + i % 5, 30, seed=i))
        rows.append(
            {
                "photo": f"{i}.png" if i % 4 else None,
                "voice": voice(8000 if i % 3 else 16000, 0.1 + 0.001 * i) if i % 5 else None,
                "words": f"word {i % 50}" if i % 6 else "",
                "size": float(i),
                "kind": "ab"[i % 2],
            }
        )
    (tmp_path / "7.png").write_bytes((tmp_path / "3.png").read_bytes())
    return pd.DataFrame(rows, dtype=object)


def table_of(records, root):
    return read(records, target="kind", columns=KINDS, quiet=True, root=root)


def spoil(records, root):
    (root / "9.png").unlink()
    (root / "21.png").write_bytes((root / "21.png").read_bytes()[:100])
    records.at[33, "voice"] = b"noise"
    records.at[150, "photo"] = b"RIFF1234"
    records.at[150, "voice"] = voice(8000, 0)
    return [(10, "photo", "9.png"), (22, "photo", "21.png"), (34, "voice", "<5 bytes>"), (151, "photo", "<8 bytes>")]


@pytest.mark.parametrize("workers", [0, 2])
def test_ids_and_facts(records, tmp_path, workers):
    found = scan(table_of(records, tmp_path), workers)
    assert not found.bad and set(found.ids) == set(KINDS)
    for name, ids in found.ids.items():
        absent = np.array([value in (None, "") for value in records[name]])
        assert ids.dtype == np.int64 and ids.shape == (200,)
        np.testing.assert_array_equal(ids == 0, absent)
    assert found.ids["photo"][3] == found.ids["photo"][7] == content_id((tmp_path / "3.png").read_bytes())
    assert len(set(found.ids["photo"].tolist())) == 150  # 150 present, two alike, and 0
    assert found.ids["words"][1] == found.ids["words"][51] and len(set(found.ids["words"].tolist())) == 51
    heights = [20 + i % 5 for i in range(200) if i % 4 and i != 7] + [23]
    assert found.facts["photo"] == {"records": 150, "height": np.median(heights), "width": 30}
    seconds = [
        round(rate * (0.1 + 0.001 * i)) / rate for i in range(200) if i % 5 for rate in [8000 if i % 3 else 16000]
    ]
    assert found.facts["voice"] == pytest.approx(
        {"records": 160, "rate": 8000, "seconds": np.percentile(seconds, 95), "longest": max(seconds)}
    )
    assert found.facts["words"] == {"records": 166} and found.facts["size"] == {"records": 200}


def test_sounds_that_are_cut_off_are_counted(tmp_path):
    loud = (np.full(800, 300, np.float32), 8000)
    table = read(
        [{"voice": sound, "kind": "ab"[i % 2]} for i, sound in enumerate([loud, loud, voice(8000, 0.1)] * 2)],
        target="kind",
        quiet=True,
        root=tmp_path,
    )
    assert scan(table).facts["voice"]["cut_off"] == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_every_bad_value_is_named_in_the_order_of_the_table(records, tmp_path, workers):
    named = spoil(records, tmp_path)
    table = table_of(records, tmp_path)
    found = scan(table, workers)
    assert [(error.row, error.column, error.value) for error in found.bad[:4]] == named
    assert (found.bad[4].row, found.bad[4].column) == (151, "voice") and len(found.bad) == 5
    assert found.bad[0].reason == "there is no such file"
    assert (found.ids["photo"][[9, 21, 150]] == 0).all()
    with pytest.raises(RecordError, match=r"Row 10, column 'photo', 9\.png: there is no such file"):
        drop_bad_records(table, found, "stop")
    good, kept = drop_bad_records(table, found, "skip")
    assert len(good) == 196 and not {10, 22, 34, 151} & set(good.rows.tolist())
    assert kept.facts["voice"]["records"] == (kept.ids["voice"] != 0).sum()
    again = scan(good)
    assert not again.bad
    for name, ids in again.ids.items():
        np.testing.assert_array_equal(ids, kept.ids[name])


def test_rows_keep_their_numbers_in_a_part_of_the_table(records, tmp_path):
    spoil(records, tmp_path)
    part = table_of(records, tmp_path).take(np.array([150, 9, 40]))
    assert [error.row for error in scan(part).bad] == [151, 151, 10]


def test_set_aside_when_all_is_well_or_nothing_is(records, tmp_path):
    table = table_of(records, tmp_path)
    found = scan(table)
    assert drop_bad_records(table, found, "stop") == (table, found)
    with pytest.raises(UserError, match="Known: absent, skip, stop"):
        drop_bad_records(table, found, "skipp")
    (tmp_path / "9.png").unlink()
    one = table.take(np.array([9]))
    with pytest.raises(UserError, match=r"Every one of the 1 record is bad.*9\.png"):
        drop_bad_records(one, scan(one), "skip")


def test_bad_records_csv(tmp_path):
    bad = [RecordError(3, "photo", 'a,"b".png', "there is no such file"), RecordError(9, "voice", "<5 bytes>", "x\ny")]
    write_bad_records(bad, tmp_path / "new" / "bad_records.csv")
    frame = pd.read_csv(tmp_path / "new" / "bad_records.csv")
    assert frame.columns.tolist() == ["row", "column", "value", "reason"]
    assert frame.values.tolist() == [
        [3, "photo", 'a,"b".png', "there is no such file"],
        [9, "voice", "<5 bytes>", "x\ny"],
    ]
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["bad_records.csv"]


def test_each_value_is_decoded_once(records, tmp_path, monkeypatch):
    seen = []
    for room, function in ((image, "_decode_file"), (audio, "_blocks")):
        real = getattr(room, function)
        monkeypatch.setattr(room, function, lambda *given, real=real: seen.append(given[0]) or real(*given))
    scan(table_of(records, tmp_path))
    assert len(seen) == 150 + 160


def test_content_ids_tell_values_apart_and_are_never_zero():
    array = np.arange(6, dtype=np.uint8)
    values = [
        "a",
        "b",
        b"b",
        array.reshape(2, 3),
        array.reshape(3, 2),
        array.astype(np.int16),
        (array, 8000),
        (array, 16000),
    ]
    values += [{"a": 1.0}, {"a": 2.0}, {"b": 1.0}, {"a": "1.0"}, {"a": None}]
    ids = [content_id(value) for value in values]
    assert ids[1] == ids[2] and len(set(ids)) == len(ids) - 1
    assert all(-(2**63) <= one < 2**63 and one for one in ids)
    assert content_id({"a": 1.0, "b": None}) == content_id({"b": None, "a": 1.0})
    assert content_id("a") == content_id("a")


def test_records_left_out_join_the_list(tmp_path):
    table = read([{"size": index + 0.5} for index in range(4)], quiet=True)
    path = tmp_path / "bad_records.csv"
    leave_out(table, np.array([False, True, False, True]), "size", "too large", path)
    write_bad_records([RecordError(3, "photo", "a.png", "there is no such file")], path)
    leave_out(table, np.array([True, False, False, False]), "", "seen before", path)
    leave_out(table, np.zeros(4, dtype=bool), "", "nobody", path)
    frame = pd.read_csv(path, keep_default_na=False)
    assert frame.to_numpy().tolist() == [[3, "photo", "a.png", "there is no such file"], [1, "", "", "seen before"]]
