"""Predictions of a table: whatever has the model and however the records come, they are the same."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import sensorium
from sensorium.errors import UserError


def records(rows: int = 60) -> list[dict]:
    """A class that a number tells."""
    sizes = np.random.default_rng(0).normal(size=rows).round(3)
    return [{"size": size, "weight": "heavy" if size > 0 else "light"} for size in sizes.tolist()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "run"
    return sensorium.fit(records(), folder, target="weight", epochs=1, quiet=True)


def test_a_run_a_model_and_a_folder_predict_the_same(run):
    first, *others = (sensorium.predict(source, records()) for source in (run, run.model, run.folder, str(run.folder)))
    assert len(first) == 60 and all(other.equals(first) for other in others)


def test_dicts_a_data_frame_and_a_file_are_predicted_the_same(run, tmp_path):
    frame = pd.DataFrame(records())
    frame.to_csv(tmp_path / "sizes.csv", index=False)
    first, *others = (sensorium.predict(run, source) for source in (records(), frame, tmp_path / "sizes.csv"))
    assert set(first["weight"]) <= {"heavy", "light"} and all(other.equals(first) for other in others)


def test_what_has_no_model_is_an_error_that_names_it():
    with pytest.raises(UserError, match="^A list has no model; give a run, a model, or the folder of either"):
        sensorium.predict([], records())


def test_dicts_give_dicts_and_tables_a_data_frame(run):
    frame = pd.DataFrame(records(6)).set_index(pd.Index(list("uvwxyz")))
    dicts = run.model.predict(frame.to_dict("records"))
    assert isinstance(dicts, list) and isinstance(run.model.predict(iter(records(2))), list)
    predicted = run.model.predict(frame)
    assert list(predicted.columns) == [
        "key",
        "weight",
        *(f"weight_probability_{w}" for w in ("heavy", "light")),
        "absent",
    ]
    assert list(predicted.index) == list("uvwxyz") and list(predicted["key"]) == list("123456")
    assert list(predicted["weight"]) == [record["weight"]["decision"] for record in dicts]
    for table in (run.model.read(frame), frame.to_dict("list"), pa.Table.from_pandas(frame)):
        assert run.model.predict(table).equals(predicted.reset_index(drop=True))
    assert sensorium.predict(run, frame).equals(predicted.astype(sensorium.predict(run, frame).dtypes))


@pytest.fixture(scope="module")
def seer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seer")
    for index in range(24):
        grey = np.full((8, 8, 3), 200 if index % 2 else 20, np.uint8)
        Image.fromarray(grey).save(folder / f"{index}.png")
    frame = pd.DataFrame({"photo": [f"{index}.png" for index in range(24)], "day": ["dark", "bright"] * 12})
    frame["tags"] = [["a", "b"] if index % 2 else None for index in range(24)]
    frame["hue"] = np.arange(24) % 5 + 0.5
    frame.to_parquet(folder / "photos.parquet")
    options = {"epochs": 1, "workers": 0, "quiet": True, "columns": {"tags": "ignored"}}
    return sensorium.fit(folder / "photos.parquet", folder / "run", target="day", **options), folder


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_records_that_cannot_be_read_are_left_out_and_listed(seer, ending, monkeypatch, capsys):
    run, folder = seer
    monkeypatch.setattr("sensorium.inference.predict.CHUNK", 5)
    frame = pd.read_parquet(folder / "photos.parquet")
    (folder / "broken.png").write_bytes(b"no picture")
    frame.loc[[1, 5, 6], "photo"] = ["broken.png", "none.png", "broken.png"]
    frame.to_parquet(folder / "new.parquet")
    out = folder / f"out.{ending}"
    summary = sensorium.predict(run, folder / "new.parquet", out, with_inputs=True, quiet=False)
    assert summary == {"out": str(out), "records": 21, "set_aside": 3, "bad_records": str(folder / "bad_records.csv")}
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    written = readers[ending](out)
    good = frame.drop(index=[1, 5, 6])
    assert [int(key) for key in written["key"]] == [index + 1 for index in good.index]
    assert list(written["photo"]) == list(good["photo"]) and list(written["hue"]) == list(good["hue"])
    assert pd.read_csv(folder / "bad_records.csv")["row"].tolist() == [2, 6, 7]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("! 3 of 24 records left out, first of all row 2, column 'photo', broken.png: ")
    with pytest.raises(sensorium.RecordError, match="^Row 2"):
        sensorium.predict(run, folder / "new.parquet", folder / "not.csv", bad_records="stop")
    with pytest.warns(UserWarning, match="^3 of 24 records left out"):
        assert list(sensorium.predict(run, folder / "new.parquet").index) == list(good.index)
    with pytest.raises(UserError, match="Every one of the 1 record is bad"):
        sensorium.predict(run, [{"photo": "none.png"}], folder / "not.csv")
    assert not (folder / "not.csv").exists()


def test_what_cannot_be_read_is_taken_as_absent_when_asked_and_said(tmp_path):
    frame = pd.DataFrame({"x": [index * 0.7 for index in range(24)], "word": [*"ab"] * 12, "y": ["yes", "no"] * 12})
    run = sensorium.fit(frame, tmp_path / "run", target="y", epochs=1, device="cpu", workers=0, quiet=True)
    new = frame.assign(x=["wrong", *map(str, frame["x"][1:])])
    with pytest.warns(UserWarning, match="1 value taken as absent, first of all row 1, column 'x', 'wrong'"):
        predicted = sensorium.predict(run, new, bad_records="absent")
    assert len(predicted) == 24 and predicted["absent"][0] == ["x"] and predicted["absent"][1] == []
