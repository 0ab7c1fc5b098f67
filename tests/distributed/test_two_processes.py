"""Two real processes against one: the same gradients and the same weights after five steps, with uneven batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]


def launch(folder: Path, processes: int) -> dict[str, dict[str, torch.Tensor]]:
    folder.mkdir()
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    command = [sys.executable, "-m", "tests.distributed.worker", str(folder)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command[command.index("-m", 3)] = "--module"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: load_file(folder / f"{name}.safetensors") for name in ("gradient", "uneven", "trained")}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    return launch(folder / "one", 1), launch(folder / "two", 2)


@pytest.mark.parametrize("what", ["gradient", "uneven", "trained"])
def test_two_processes_equal_one(both, what):
    """`gradient`: one process's rows all lack an input. `uneven`: a single row is left, so one process has none.

    Weights after training are compared by norm: where a gradient is next to zero, Adam makes a step of its rounding
    error.
    """
    one, two = both[0][what], both[1][what]
    assert one.keys() == two.keys()
    assert sum(tensor.abs().sum() for tensor in one.values()) > 0
    for name in one:
        assert (two[name] - one[name]).norm() <= 1e-5 * one[name].norm() + 1e-8, name
