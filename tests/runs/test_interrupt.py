"""Ctrl-C in a real process: exit code 130, a sentence that says how to go on, and --resume ends in the same bits."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.journeys import Journey, check_same, left_running, make, wait_for

ROOT = Path(__file__).parents[2]


def interrupted(out: Path, arguments: dict[str, Any], moment: Callable[[], bool], folder: Path) -> str:
    """Runs `sensorium fit` until `moment()`, then presses Ctrl-C; gives what it said to standard error."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(arguments["recipe"], sort_keys=False))
    command = [sys.executable, "-m", "sensorium.cli", "fit", str(arguments["records"]), "--out", str(out)]
    command += ["--recipe", str(folder / "recipe.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: moment() or run.poll() is not None, "the moment to press Ctrl-C did not come")
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, errors
    assert not left_running(run.pid)
    return errors


@pytest.fixture
def undisturbed(tmp_path) -> Callable[[dict[str, Any]], Path]:
    def run(arguments: dict[str, Any]) -> Path:
        out = tmp_path / "undisturbed"
        journey = Journey(out, arguments)
        journey.finish()
        assert journey.process.exitcode == 0
        return out

    return run


def check(out: Path, arguments: dict[str, Any], whole: Path) -> None:
    resumed = Journey(out, arguments, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(whole, out, "interrupted and resumed")


def test_during_training(tmp_path, undisturbed):
    arguments, out = make(tmp_path, records=120), tmp_path / "run"
    arguments["recipe"]["training"]["workers"] = 2
    errors = interrupted(out, arguments, (out / "last" / "position.json").exists, tmp_path)
    assert errors.splitlines()[-1].startswith("sensorium: Stopped after epoch ")
    assert errors.strip().endswith(f"Go on with: sensorium fit --resume --out {out}")
    assert not (out / "metrics.json").exists()
    check(out, arguments, undisturbed(arguments))


def test_during_cache_filling(tmp_path, undisturbed):
    arguments, out = make(tmp_path, records=270, size=160), tmp_path / "run"
    arguments["recipe"]["training"] |= {"epochs": 1, "batch_size": 128}
    errors = interrupted(out, arguments, lambda: any(out.glob("features/*/done.json")), tmp_path)
    assert errors.strip() == f"sensorium: Stopped. Go on with: sensorium fit --resume --out {out}"
    assert not (out / "last").exists()
    check(out, arguments, undisturbed(arguments))
