"""The log for TensorBoard has what log.csv has, each epoch once, however often training was stopped."""

from pathlib import Path

import pandas as pd
import pytest
from accelerate import Accelerator

from sensorium.errors import UserError
from sensorium.training import tensorboard
from tests.training.worlds import table, training


class Stop(Exception):
    pass


def stop_in_third_epoch(figures):
    if figures["epoch"] == 2 and figures["step"] == 2:
        raise Stop


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """By tag, the steps and values that TensorBoard reads."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder), purge_orphaned_data=False)
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.parametrize("checkpoint_seconds", [0, 9999])
def test_a_resumed_training_leaves_every_epoch_of_its_log_once(tmp_path, checkpoint_seconds):
    pytest.importorskip("tensorboard")
    settings = {"epochs": 4, "log": "tensorboard", "checkpoint_seconds": checkpoint_seconds}
    first = training(tmp_path / "last", Accelerator(cpu=True), table(), **settings)
    first.hooks.report = stop_in_third_epoch
    with pytest.raises(Stop):
        first.run()
    assert [step for step, _ in scalars(tmp_path / "tensorboard")["loss"]] == [1, 2]
    second = training(tmp_path / "last", Accelerator(cpu=True), table(), **settings)
    assert second.resume() is (checkpoint_seconds == 0)
    second.run()
    log, events = pd.read_csv(tmp_path / "log.csv"), scalars(tmp_path / "tensorboard")
    assert log["epoch"].tolist() == [1, 2, 3, 4]
    assert events.keys() == set(log.columns) - {"epoch"}
    for column, values in events.items():
        assert [step for step, _ in values] == [1, 2, 3, 4]
        assert [value for _, value in values] == pytest.approx(log[column].tolist(), rel=1e-6)


def test_nothing_is_written_that_was_not_asked_for(tmp_path):
    training(tmp_path / "last", Accelerator(cpu=True), table()).run()
    assert not (tmp_path / "tensorboard").exists()


def test_without_the_package_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    run = training(tmp_path / "last", Accelerator(cpu=True), table(), log="tensorboard")
    with pytest.raises(UserError, match=r"pip install 'sensorium\[tensorboard\]'"):
        run.run()
