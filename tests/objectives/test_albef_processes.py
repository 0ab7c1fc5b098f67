"""ALBEF's alignment on two processes is that of one: losses, gradients and the queue that each keeps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.objectives.albef_worker import SIZES, run
from tests.objectives.test_albef import batch_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the processes left what they found."""
    folder = tmp_path_factory.mktemp("albef")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, "--module", "tests.objectives.albef_worker", str(folder)], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("case", SIZES)
def test_processes_together_are_one(folder, case):
    parts, one = [load_file(folder / f"{case}-{rank}.safetensors") for rank in range(2)], run(batch_of())
    for name, value in one.items():
        if name.startswith("queue_"):
            assert all((part[name] - value).abs().max() < 1e-6 for part in parts), name
            assert torch.equal(parts[0][name], parts[1][name]), name
        else:
            torch.testing.assert_close(parts[0][name] + parts[1][name], value, rtol=1e-5, atol=1e-6)
