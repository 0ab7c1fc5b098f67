"""`sensorium pretrain` launched on two processes against one process: the same ranks, the same log."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.journeys import Journey
from tests.pretraining import pairs

ROOT = Path(__file__).parents[2]


def arguments(folder: Path) -> dict:
    """No chance and no frozen encoder, float32, gradient caching; the last batch of an epoch is a single record."""
    table = pd.read_csv(pairs(folder))
    table.loc[::6, "caption"] = None
    table["thumb"] = table["photo"].where(table.index % 5 > 0)
    table.to_csv(folder / "three.csv", index=False)
    picture = {"size": 16, "patch": 8, "width": 32, "depth": 1, "heads": 2, "augmentation": None}
    return {
        "family": "clip",
        "records": folder / "three.csv",
        "recipe": {
            "data": {"inputs": ["photo", "thumb", "caption"], "columns": {"caption": "text"}, "validation": 0.33},
            "inputs": {
                "photo": {"encoder": "clip_image", "config": picture},
                "thumb": {"encoder": "clip_image", "config": picture},
                "caption": {"encoder": "clip_text", "config": {"width": 32, "depth": 1, "heads": 2}},
            },
            "training": {
                "epochs": 3, "batch_size": 8, "pieces": 2, "precision": "fp32", "workers": 0, "refit": False,
            },
        },
    }  # fmt: skip


def launched(out: Path, given: dict, folder: Path) -> str:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(given["recipe"], sort_keys=False))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "sensorium.cli", "pretrain", "clip", str(given["records"])]
    command += ["--recipe", str(folder / "recipe.yaml"), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pretrain")
    given = arguments(folder)
    journey = Journey(folder / "one", given)
    said = launched(folder / "two", given, folder)
    assert said.count("Report: file://") == 1, "one of the processes speaks for both"
    assert " 33 train" in said, "the last batch of 8 is a single record"
    journey.finish()
    assert journey.process.exitcode == 0
    return folder / "one", folder / "two"


def test_two_processes_learn_what_one_does(both):
    one, two = (pd.read_csv(folder / "log.csv").drop(columns="seconds") for folder in both)
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)
    assert len(one) == 3 and one["loss"].iloc[-1] < one["loss"].iloc[0]


def test_two_processes_rank_as_one(both):
    one, two = (pd.read_parquet(folder / "scores.parquet") for folder in both)
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)
