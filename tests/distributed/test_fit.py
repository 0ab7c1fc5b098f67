"""The command line launched on two processes against one process: the same predictions.

By torch's launcher, for `accelerate launch --cpu` starts a second process through MPI alone.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.journeys import Journey, make

ROOT = Path(__file__).parents[2]


def arguments_without_chance(folder: Path) -> dict[str, Any]:
    """No dropout, no augmentation, float32; the last batch of an epoch is a single record, so one process has none."""
    arguments = make(folder, records=46)
    recipe = arguments["recipe"]
    for column in ("picture", "sound", "number"):
        settings = recipe["inputs"].setdefault(column, {"encoder": "table", "config": {}})
        settings["augment"] = False
        if column != "picture":
            settings["config"]["dropout"] = 0.0
    recipe["fusion"] = {"config": {"dropout": 0.0}}
    recipe["training"] |= {"modality_dropout": 0.0, "precision": "fp32", "batch_size": 8}
    return arguments


def launched(out: Path, arguments: dict[str, Any], folder: Path) -> None:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(arguments["recipe"], sort_keys=False))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "sensorium.cli",
    ]
    command += ["fit", str(arguments["records"]), "--recipe", str(folder / "recipe.yaml"), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 processes train as one." in done.stdout
    assert done.stdout.count("Report: file://") == 1, "one of the processes speaks for both"
    assert " 33 train" in done.stdout, "the last batch of 8 is a single record"


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("fit")
    arguments = arguments_without_chance(folder)
    journey = Journey(folder / "one", arguments)
    launched(folder / "two", arguments, folder)
    journey.finish()
    assert journey.process.exitcode == 0
    return folder / "one", folder / "two"


def test_two_processes_predict_as_one(both):
    one, two = (pd.read_parquet(folder / "scores.parquet") for folder in both)
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)


def test_two_processes_choose_the_same_epoch_by_the_same_figures(both):
    one, two = (pd.read_csv(folder / "log.csv").drop(columns="seconds") for folder in both)
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)
