"""A run that goes on from another, killed and resumed, or on two processes: the same outcome as undisturbed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sensorium.errors import UserError
from sensorium.runs.run import fit
from tests.distributed.test_fit import arguments_without_chance
from tests.journeys import Journey, check_same, make

ROOT = Path(__file__).parents[2]


def old_and_new(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains on the first part of the records; gives the arguments of the run that goes on with the rest."""
    table = pd.read_csv(arguments["records"])
    old, new = folder / "old.csv", folder / "new.csv"
    cut = len(table) * 3 // 5
    table[:cut].to_csv(old, index=False)
    table[cut // 2 :].to_csv(new, index=False)  # some of the old test and training records too
    arguments["recipe"]["training"]["epochs"] = 1
    journey = Journey(folder / "old", arguments | {"records": old})
    journey.finish()
    assert journey.process.exitcode == 0
    more = {"epochs": 2, "batch_size": 16, "checkpoint_seconds": 0.0, "workers": 0}
    return {"records": new, "start_from": str(folder / "old"), **more}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """The arguments of a run that goes on, with a cached frozen encoder and a second training; and its outcome."""
    folder = tmp_path_factory.mktemp("records")
    arguments = old_and_new(folder, make(folder, records=100))
    journey = Journey(folder / "more", arguments)
    said = [stage for _, stage in journey.finish()]
    assert journey.process.exitcode == 0
    assert {"cache", "training", "checkpoint"} <= set(said)
    return arguments, folder / "more"


@pytest.mark.parametrize(("stage", "time"), [("cache", 2), ("training", 3), ("training", 12), ("saving", 1)])
def test_killed_and_resumed_it_ends_in_the_same_bits(world, tmp_path, stage, time):
    arguments, whole = world
    out = tmp_path / "run"
    journey = Journey(out, arguments)
    for _ in range(time):
        while journey.said()[1] != stage:
            pass
    journey.kill()
    assert not (out / "metrics.json").exists()
    resumed = Journey(out, arguments, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(whole, out, f"killed in {stage} {time}")


def test_a_run_is_known_by_the_weights_it_goes_on_from(world, tmp_path):
    arguments, whole = world
    out, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(whole, out)
    shutil.copytree(arguments["start_from"], other)
    fit(**arguments | {"start_from": str(other)}, out=out, resume=True, quiet=True)  # the same weights elsewhere
    weights = other / "model" / "model.safetensors"
    held = bytearray(weights.read_bytes())
    held[-1] ^= 1
    weights.write_bytes(held)
    with pytest.raises(UserError, match="not those that the run in"):
        fit(**arguments | {"start_from": str(other)}, out=out, resume=True, quiet=True)


@pytest.mark.slow
def test_two_processes_go_on_as_one(tmp_path):
    arguments = old_and_new(tmp_path, arguments_without_chance(tmp_path))
    journey = Journey(tmp_path / "one", arguments)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "sensorium.cli", "fit", str(arguments["records"]), "--from", arguments["start_from"]]
    command += ["--epochs", "2", "--set", "batch_size=16", "--workers", "0", "--out", str(tmp_path / "two"), "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)  # one object: the other process is silent
    assert printed["forgetting"]["records"] > 0
    journey.finish()
    one, two = (pd.read_parquet(tmp_path / name / "scores.parquet") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)
