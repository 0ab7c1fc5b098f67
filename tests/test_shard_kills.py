"""kill -9 in the middle of a shard, then --resume: the same bits as an undisturbed run; and the same as the table."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sensorium.data.sources.write_shards import pack
from tests.journeys import Journey, check_same, left_running, make, outcome, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which this system has not")


def killed(out: Path, arguments: dict[str, Any], steps: int) -> None:
    """A run that is killed after so many steps of its training."""
    journey = Journey(out, arguments)
    while steps:
        steps -= journey.said()[1] == "training"
    journey.kill()
    journey.finish()
    wait_for(lambda: not left_running(journey.process.pid), "workers outlive the run that was killed")
    assert (out / "last").exists() and not (out / "model").exists()


def finished(out: Path, arguments: dict[str, Any], resume: bool = False) -> Path:
    journey = Journey(out, arguments, resume)
    journey.finish()
    assert journey.process.exitcode == 0
    return out


def test_killed_in_the_middle_of_a_shard_it_ends_at_the_same_bits(tmp_path):
    arguments = make(tmp_path, records=120)
    arguments["recipe"]["training"] |= {"workers": 2, "epochs": 2, "batch_size": 16}
    pack(arguments["records"], tmp_path / "shards", records=50, seed=None)
    sharded = arguments | {"records": str(tmp_path / "shards" / "{000000..000002}.tar")}
    whole = finished(tmp_path / "whole", sharded)
    killed(tmp_path / "killed", sharded, steps=3)
    check_same(whole, finished(tmp_path / "killed", sharded, resume=True), "killed after three steps")
    table = outcome(finished(tmp_path / "table", arguments))
    same = [name for name, held in outcome(whole).items() if table.get(name) == held]
    assert {"model/model.safetensors", "log.csv", "metrics.json"} <= set(same), "the shards teach what the table does"
    scores = [pd.read_parquet(tmp_path / name / "scores.parquet") for name in ("whole", "table")]
    pd.testing.assert_frame_equal(*scores)
