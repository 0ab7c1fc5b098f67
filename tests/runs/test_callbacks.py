"""Callbacks from Python: called with the figures of every step, no part of the run, and their errors are theirs."""

import traceback

import numpy as np
import pandas as pd
import pytest

import sensorium
from sensorium.errors import UserError

SETTINGS = {"target": "y", "epochs": 2, "batch_size": 16, "quiet": True}


def table() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    x = chance.normal(size=60)
    return pd.DataFrame({"x": x, "y": np.where(x > 0, "up", "down")})


def fit(folder, **options):
    return sensorium.fit(table(), folder, **SETTINGS | options)


def test_every_step_and_epoch_is_told_and_nothing_of_the_run_changes(tmp_path):
    calls = []

    class Watch:
        def __call__(self, figures):
            figures.clear()

    watched = fit(tmp_path / "watched", callbacks=[Watch(), calls.append])
    plain = fit(tmp_path / "plain")
    assert {call["stage"] for call in calls} == {"Training", "Training on all"}
    training = [call for call in calls if call["stage"] == "Training"]
    steps = [(call["epoch"], call["step"]) for call in training if call["step"]]
    assert steps == [(epoch, step) for epoch in (0, 1) for step in (1, 2, 3, 4)]
    assert all(call["loss"] == call["loss_y"] > 0 for call in training if call["step"])
    epochs = [call for call in training if not call["step"]]
    log = pd.read_csv(tmp_path / "watched" / "log.csv")
    assert [call["epoch"] for call in epochs] == [1, 2] == log["epoch"].tolist()
    assert [call["validation"] for call in epochs] == pytest.approx(log["validation"].tolist())
    assert watched.metrics["targets"] == plain.metrics["targets"]
    recipe = (tmp_path / "watched" / "recipe.yaml").read_text()
    assert "callback" not in recipe and recipe == (tmp_path / "plain" / "recipe.yaml").read_text()


def test_a_callback_that_fails_shows_its_own_lines_and_the_run_goes_on_without_it(tmp_path):
    def stumble(figures):
        return {}["no such figure"]

    with pytest.raises(KeyError, match="no such figure") as caught:
        fit(tmp_path / "run", callbacks=[stumble])
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "stumble"
    run = fit(tmp_path / "run", resume=True)
    assert run.metrics["targets"] == fit(tmp_path / "plain").metrics["targets"]


def test_what_cannot_be_called_is_refused(tmp_path):
    with pytest.raises(UserError, match="callbacks are functions"):
        fit(tmp_path / "run", callbacks=["print"])


def test_a_run_shows_its_report_and_says_in_a_line_what_it_is(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    run = fit(tmp_path / "run", log="tensorboard")
    run.show()
    assert capsys.readouterr().out == f"{(tmp_path / 'run' / 'report.html').as_uri()}\n"
    assert len(repr(run)) < 300 and "\n" not in repr(run)
    html = run._repr_html_()
    assert "y, accuracy" in html and "parameters" in html
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert run.metrics["targets"] == fit(tmp_path / "run", resume=True).metrics["targets"]
