"""Columns of films: what they are guessed to be, the inputs they make, and a sound track that is not there."""

import numpy as np
import pytest

from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.scan import content_ids, drop_bad_records, scan
from sensorium.data.schema import Column, InputSpec, Schema, make_inputs
from sensorium.encoders.audio_conv import AudioConv, AudioConvConfig
from sensorium.encoders.video_processor import VideoProcessor, VideoSettings
from sensorium.errors import RecordError, UserError
from sensorium.inspection.contents import contents_of
from tests.data.media.films import film, gray, told

WAVE = (0.5 * np.sin(np.arange(16000) / 5)).astype(np.float32)
TARGET = ["a", "b", "a", "b"]


@pytest.fixture
def folder(tmp_path):
    """Films of which the second has no sound."""
    for name, frames, sound in (("one", 5, WAVE), ("two", 7, None), ("three", 9, WAVE)):
        (tmp_path / f"{name}.mp4").write_bytes(film(gray(frames), sound=sound))
    return tmp_path


def table(folder, clips=("one.mp4", "two.mp4", None, "three.mp4"), **options):
    rows = [{"clip": clip, "what": what} for clip, what in zip(clips, TARGET, strict=False)]
    return read(rows, target="what", root=folder, quiet=True, **options)


def processors():
    sound = AudioConv(AudioConvConfig(rate=8000, seconds=1.0)).processor
    return {"clip": VideoProcessor(VideoSettings(rate=10, frames=6, size=16)), "clip sound": sound}


def test_films_are_guessed_to_have_sound_when_one_of_the_first_has(folder):
    schema = table(folder).schema
    assert (schema.column("clip").kind, schema.column("clip").reason) == (
        "film",
        "3 of 3 values are paths ending in .mp4; 2 of the first 3 have sound",
    )
    assert schema.inputs == [
        InputSpec(name="clip", modality="video", columns=["clip"]),
        InputSpec(name="clip sound", modality="audio", columns=["clip"], part="sound"),
    ]
    silent = table(folder, ["two.mp4", "two.mp4", "gone.mp4"]).schema
    assert silent.column("clip").kind == "video"
    assert silent.column("clip").reason.endswith("none of the first 2 has sound")
    assert [spec.name for spec in silent.inputs] == ["clip"]
    assert table(folder, ["gone.mp4", "away.mp4"]).schema.column("clip").kind == "video"
    assert Schema.model_validate_json(schema.model_dump_json()) == schema


def test_the_kind_can_be_stated(folder):
    assert [spec.name for spec in table(folder, columns={"clip": "video"}).schema.inputs] == ["clip"]
    assert len(table(folder, ["two.mp4", "two.mp4"], columns={"clip": "film"}).schema.inputs) == 2
    with pytest.raises(UserError, match="cannot be read as film: 2 of its 2 cells"):
        table(folder, [3, 4], columns={"clip": "film"})


def test_the_name_of_the_sound_is_no_columns_name():
    columns = [Column(name=name, kind=kind, reason="") for name, kind in (("a", "film"), ("a sound", "text"))]
    assert [spec.name for spec in make_inputs(columns)] == ["a", "a sound 2", "a sound"]


def test_a_film_counts_as_two_inputs_when_numbers_are_read_together():
    numbers = [Column(name=f"n{place}", kind="number", reason="") for place in range(5)]
    inputs = make_inputs([*numbers, Column(name="clip", kind="film", reason="")])
    assert [spec.name for spec in inputs] == ["clip", "clip sound", "table"]
    assert [spec.name for spec in make_inputs([*numbers, Column(name="clip", kind="video", reason="")])][-1] == "clip"


def test_the_scan_finds_films_without_sound_absent(folder):
    found = scan(table(folder))
    assert [bool(one) for one in found.ids["clip"]] == [True, True, False, True]
    assert [bool(one) for one in found.ids["clip sound"]] == [True, False, False, True]
    assert found.bad == []
    assert {name: ids.tolist() for name, ids in content_ids(table(folder)).items()} == {
        name: ids.tolist() for name, ids in found.ids.items()
    }
    assert found.facts["clip"] == pytest.approx(
        {
            "records": 3,
            "height": 48,
            "width": 64,
            "rate": 10,
            "seconds": np.percentile([0.5, 0.7, 0.9], 95),
            "longest": 0.9,
        }
    )
    assert found.facts["clip sound"]["records"] == 2 and found.facts["clip sound"]["rate"] == 16000


def test_inspection_finds_films_without_sound_absent(folder):
    records = table(folder)
    found = scan(records, fingerprints=True)
    contents = contents_of(found, records.schema.inputs)
    assert [bool(one) for one in contents["clip sound"].ids] == [True, False, False, True]
    assert contents["clip"].measures["seconds"][[0, 1, 3]] == pytest.approx([0.5, 0.7, 0.9])
    assert found.bad == []


def test_a_batch_marks_them_absent(folder):
    batch = Records(table(folder), processors()).batch(np.arange(4))
    assert batch.present("clip").tolist() == [True, True, False, True]
    assert batch.present("clip sound").tolist() == [True, False, False, True]
    assert batch.inputs["clip"]["mask"].sum(dim=1).tolist() == [5, 6, 0, 6]
    shown = batch.inputs["clip"]["pixels"].permute(0, 1, 3, 4, 2).numpy()
    assert told(shown[0, :5]) == [0, 1, 2, 3, 4] and told(shown[3]) == [0, 2, 3, 5, 6, 8]


def test_a_broken_film_is_named_once_for_each_of_its_inputs_and_dropped_once(folder):
    (folder / "two.mp4").write_bytes((folder / "one.mp4").read_bytes()[:-200])
    records = table(folder)
    found = scan(records)
    assert {(error.row, error.column) for error in found.bad} == {(2, "clip")}
    kept, rest = drop_bad_records(records, found, "skip")
    assert len(kept) == 3 and all(len(ids) == 3 for ids in rest.ids.values())
    with pytest.raises(RecordError, match=r"Row 2, column 'clip', two.mp4: the file is not a film that can be read"):
        Records(records, processors()).batch(np.arange(4))


def test_films_in_memory(folder):
    records = table(folder, [(gray(5), 10.0), (folder / "one.mp4").read_bytes(), (gray(5), 10.0)])
    assert records.schema.column("clip").kind == "film"
    batch = Records(records, processors()).batch(np.arange(3))
    assert batch.present("clip sound").tolist() == [False, True, False]
    assert told(batch.inputs["clip"]["pixels"][1, :5].permute(0, 2, 3, 1).numpy()) == [0, 1, 2, 3, 4]
    ids = scan(records).ids["clip"]
    assert ids[0] == ids[2] != ids[1]
