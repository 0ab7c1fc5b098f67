"""Two real processes against one, and FSDP2 against DDP: the same gradients and the same weights after five steps, with
uneven batches; stopped and resumed, the same bits.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from sensorium.errors import UserError
from sensorium.training.processes import Processes
from tests.distributed.worker import CASES

ROOT = Path(__file__).parents[2]


def launch(folder: Path, processes: int, **variables: str) -> dict[str, dict[str, torch.Tensor]]:
    folder.mkdir()
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    environment |= variables
    command = [sys.executable, "-m", "tests.distributed.worker", str(folder)]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command[command.index("-m", 3)] = "--module"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: load_file(path) for path in folder.glob("*.safetensors")}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    return launch(folder / "one", 1), launch(folder / "two", 2)


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("fsdp") / "two", 2, ACCELERATE_USE_FSDP="true", FSDP_VERSION="2")


@pytest.mark.parametrize("what", ["gradient", "uneven", "alone", "trained"])
@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(both, case, what):
    """`gradient`: one process's rows all lack an input. `uneven`: a single row is left, so one process has none.
    `alone`: one process has all rows.

    Weights after training are compared by norm: where a gradient is next to zero, Adam makes a step of its rounding
    error. Contrastive losses of two processes in pieces are compared with those of one process in one piece.
    """
    lone = what == "uneven" and "softmax" in case  # a single row has none to be told from
    equal(both[0][f"{case.replace('3', '1')} {what}"], both[1][f"{case} {what}"], nothing=lone)


@pytest.mark.parametrize("what", ["gradient", "uneven", "alone", "trained"])
@pytest.mark.parametrize("case", CASES)
def test_weights_that_are_shared_out_train_as_whole_ones(both, shared_out, case, what):
    """FSDP2 against DDP, on two processes each."""
    lone = what == "uneven" and "softmax" in case
    equal(both[1][f"{case} {what}"], shared_out[f"{case} {what}"], nothing=lone)


@pytest.mark.parametrize("launched", ["one", "two", "shared out"])
def test_a_stopped_training_goes_on_to_the_same_bits(both, shared_out, launched):
    found = {"one": both[0], "two": both[1], "shared out": shared_out}[launched]
    undisturbed, resumed = found["undisturbed"], found["resumed"]
    assert {"model.logit_scale", "model.logit_bias"} < undisturbed.keys() == resumed.keys()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], nothing: bool) -> None:
    assert one.keys() == two.keys()
    assert (sum(tensor.abs().sum() for tensor in one.values()) > 0) != nothing
    for name in one:
        assert (two[name] - one[name]).norm() <= 1e-5 * one[name].norm() + 1e-8, name


def test_what_does_not_go_with_weights_that_are_shared_out_is_said(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    accelerator = Accelerator(cpu=True)
    with pytest.raises(UserError, match="add --fsdp_version 2"):
        Processes(nn.Linear(1, 1), accelerator)
