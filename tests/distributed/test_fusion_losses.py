"""A fusion with losses of its own, on two processes: every weight gets its gradient, so none waits for another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sensorium
from tests.fusion.test_fits import ROWS
from tests.reviews import write

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_train_what_the_fusion_asks_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("table.csv", ROWS)
    recipe = {
        "data": {"target": {"kind": "class"}, "columns": {"name": "text", "said": "text"}},
        "inputs": {"name": {"encoder": "text", "config": {"width": 8, "depth": 1, "heads": 1}}},
        "fusion": {"name": "variational", "config": {"dim": 8}},
        "training": {"epochs": 2, "batch_size": 4, "refit": False, "workers": 0, "device": "cpu"},
    }
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "sensorium.cli", "fit", "table.csv", "--recipe", "recipe.yaml", "--out", "run"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    model = sensorium.load("run")
    assert all(one.isfinite().all() for one in model.fusion.parameters())
    assert len(model.predict([{"name": "lamp"}, {}])) == 2
