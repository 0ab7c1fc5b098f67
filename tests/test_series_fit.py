"""A whole run on a table with a series, a set of points and a number, each missing in some records."""

import json
from pathlib import Path

import numpy as np
import pytest

import sensorium


def make(path: Path, count: int = 90) -> None:
    """Records whose series rises or falls (`way`) and whose points lie round or long (`form`)."""
    rng = np.random.default_rng(0)
    records = []
    for row in range(count):
        up, long = row % 2, row // 2 % 2
        times = np.sort(rng.uniform(0, 10, rng.integers(8, 20)))
        heat = (2 * up - 1) * times + rng.normal(0, 0.5, len(times))
        angles = rng.uniform(0, 2 * np.pi, 30)
        points = np.stack([np.cos(angles) * (1 + 2 * long), np.sin(angles)], axis=1)
        records.append(
            {
                "sensors": {"time": times.tolist(), "heat": [None if rng.random() < 0.1 else one for one in heat]},
                "scan": points.tolist(),
                "age": float(rng.normal()),
                "way": ("down", "up")[up],
                "form": ("round", "long")[long],
            }
        )
        for name in ("sensors", "scan", "age"):
            if rng.random() < 0.1:
                records[-1][name] = None
    path.write_text("\n".join(map(json.dumps, records)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    make(folder / "machines.jsonl")
    options = {"columns": {"scan": "points"}, "epochs": 8, "test": 0.3, "refit": False, "batch_size": 16, "workers": 0}
    return sensorium.fit(
        folder / "machines.jsonl", target=["way", "form"], out=folder / "run", seed=0, quiet=True, **options
    )


def test_what_each_input_holds_is_learned(run):
    model = sensorium.load(run.folder)
    assert [(spec.name, spec.modality) for spec in model.schema.inputs] == [
        ("sensors", "series"),
        ("scan", "points"),
        ("age", "table"),
    ]
    inputs = run.metrics["inputs"]
    assert inputs["way"]["sensors"]["shapley"]["value"] > 0.2 > inputs["way"]["scan"]["shapley"]["value"]
    assert inputs["form"]["scan"]["shapley"]["value"] > 0.2 > inputs["form"]["sensors"]["shapley"]["value"]


def test_prediction_from_any_form_and_without(run):
    model = sensorium.load(run.folder)
    times = np.linspace(100, 110, 12)
    frame = {"other": times * 0, "time": times, "heat": times - 100}
    scan = np.random.default_rng(1).normal([0, 0], [3, 1], (5000, 2))
    one, two, three, four = model.predict(
        [{"sensors": frame}, {"scan": scan}, {}, {"sensors": {"time": [0], "heat": [1]}, "scan": scan[::-1]}]
    )
    assert one["way"]["decision"] == "up" and one["absent"] == ["scan", "age"]
    assert two["form"]["decision"] == "long" and two["absent"] == ["sensors", "age"]
    assert three["absent"] == ["sensors", "scan", "age"] and four["absent"] == ["age"]
    assert model.predict([{"scan": scan[::-1]}]) == model.predict([{"scan": scan}]), "the order changes no bit"


def test_a_saved_model_says_the_same_and_another_table_is_evaluated(run, tmp_path):
    make(tmp_path / "more.jsonl", 20)
    records = [json.loads(line) for line in (tmp_path / "more.jsonl").read_text().splitlines()]
    assert run.model.predict(records) == sensorium.load(run.folder).predict(records)
    model = sensorium.load(run.folder)
    report = sensorium.evaluate(model, model.read(tmp_path / "more.jsonl"))
    assert report.to_dict()["targets"]["way"]["accuracy"]["value"] > 0.6


def test_readings_with_other_channels_are_named_at_prediction(run):
    model = sensorium.load(run.folder)
    with pytest.raises(sensorium.UserError, match=r"Row 2, column 'sensors', .*none of its channels \(cold\)"):
        model.predict([{"age": 1}, {"sensors": {"time": [0], "cold": [1]}}])
    with pytest.raises(sensorium.UserError, match="it has 3 numbers a point where training had 2"):
        model.predict([{"scan": [[1, 2, 3]]}])
