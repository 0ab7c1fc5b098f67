"""Predictions of a table: whatever has the model and however the records come, they are the same."""

import numpy as np
import pandas as pd
import pytest

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
