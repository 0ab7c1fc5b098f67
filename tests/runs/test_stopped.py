"""A run that was stopped has a usable model, and still ends in the bits of an undisturbed one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sensorium import evaluate, fit
from sensorium.errors import UserError
from sensorium.inference.predict import predict
from sensorium.runs.folder import lock_folder
from sensorium.runs.run import LAYOUT
from sensorium.training.interrupt import Interrupted
from sensorium.training.loop import Training

SETTINGS = {"target": "kind", "columns": {"review": "text"}, "workers": 0, "batch_size": 16, "quiet": True}


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"review": [f"{'good' if i % 2 else 'bad'} {i}" for i in range(40)], "kind": list("ab") * 20})


@pytest.mark.parametrize(("epoch", "refit"), [(2, False), (5, True)])
def test_the_best_model_so_far(table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int, refit: bool):
    settings = SETTINGS | {"epochs": 4, "refit": refit}
    fit(table, tmp_path / "whole", **settings)
    end_epoch, ended = Training._end_epoch, []

    def ending(training: Training) -> None:
        """As ever, and Ctrl-C after so many epochs of both trainings."""
        end_epoch(training)
        ended.append(training)
        if len(ended) == epoch:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Training, "_end_epoch", ending)
    with pytest.raises(Interrupted, match="The best model so far, of epoch .*/model; predict and evaluate take"):
        fit(table, tmp_path / "run", **settings)
    assert predict(tmp_path / "run", table, tmp_path / "p.csv", quiet=True)
    assert evaluate(tmp_path / "run", table, resamples=10).records == 40
    fit(table, tmp_path / "run", resume=True, quiet=True)
    for name in ("model/model.safetensors", "scores.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_that_went_is_told_at_the_next_save(table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    end_epoch = Training._end_epoch

    def ending(training: Training) -> None:
        """As ever, and the folder is renamed."""
        end_epoch(training)
        if (tmp_path / "run").exists():
            (tmp_path / "run").rename(tmp_path / "elsewhere")

    monkeypatch.setattr(Training, "_end_epoch", ending)
    with pytest.raises(UserError, match="the folder of this run, is gone"):
        fit(table, tmp_path / "run", **SETTINGS, epochs=4, checkpoint_seconds=0)
    assert not (tmp_path / "run").exists()


def test_one_process_at_a_time(tmp_path: Path):
    code = "import sys, time; from pathlib import Path; from sensorium.files import lock\n"
    code += "with lock(Path(sys.argv[1]), 'x'): print('in', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises(UserError, match="Another process is writing a run into"), lock_folder(tmp_path, LAYOUT):
            pass
    finally:
        other.kill()
        other.wait()
    with lock_folder(tmp_path, LAYOUT):
        pass
    assert not list(tmp_path.iterdir())


def test_records_of_the_training_are_told(table, tmp_path: Path):
    run = fit(table, tmp_path / "run", **SETTINGS, epochs=1, test=0.25)
    report = evaluate(tmp_path / "run", table, resamples=10, out=tmp_path / "scores")
    assert (report.learned, report.to_dict()["records"]["learned"]) == (30, 30)
    assert "! 30 of 40 records (75%) have the inputs of records in the training" in str(report)
    assert '"learned": 30' in (tmp_path / "scores" / "metrics.json").read_text()
    fresh = table.assign(review=table["review"] + " new")
    assert evaluate(run, fresh, resamples=10).learned == 0
    assert "!" not in str(evaluate(tmp_path / "run" / "model", fresh, resamples=10))
    assert evaluate(run.model, table, resamples=10).learned is None
    (tmp_path / "run" / "model" / "learned.npy").write_bytes(b"x")
    with pytest.raises(UserError, match="learned.npy is damaged"):
        evaluate(tmp_path / "run", table, resamples=10)


def test_nothing_of_others_is_replaced(table, tmp_path: Path):
    other = tmp_path / "scores"
    other.mkdir()
    (other / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="holds metrics.json of something else"):
        fit(table, other, **SETTINGS, epochs=1)
    assert [path.name for path in other.iterdir()] == ["metrics.json"]
    with pytest.raises(UserError, match="File name too long"):
        fit(table, tmp_path / ("n" * 300), **SETTINGS, epochs=1)
    run = fit(table, tmp_path / "run", **SETTINGS, epochs=1)
    figures = (run.folder / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="is the folder of a run, whose metrics.json"):
        evaluate(run, table, out=run.folder)
    assert (run.folder / "metrics.json").read_bytes() == figures
