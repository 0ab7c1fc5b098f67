"""ALBEF's whole training on two processes is that on one: losses, weights, teacher and queue."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[2]
Found = tuple[dict[str, Tensor], list[dict[str, float]]]


def launched(folder: Path, processes: int) -> Found:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    start = [] if processes == 1 else ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [sys.executable, *(["-m", *start, "--module"] if start else ["-m"])]
    done = subprocess.run(
        [*command, "tests.distributed.albef_worker", str(folder)], cwd=ROOT, env=environment, capture_output=True,
        text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(folder / "learned.safetensors"), json.loads((folder / "losses.json").read_text())


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Found, Found]:
    folder = tmp_path_factory.mktemp("albef")
    return launched(folder / "one", 1), launched(folder / "two", 2)


def test_the_losses_are_those_of_one_process(both):
    one, two = both[0][1], both[1][1]
    assert len(one) == len(two) == 4
    for ours, theirs in zip(one, two, strict=True):
        assert ours.keys() == theirs.keys() > {"loss_photo_caption", "loss_match", "loss_words"}
        for name in ours:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-5), name


def test_weights_and_teacher_are_those_of_one_process(both):
    one, two = both[0][0], both[1][0]
    assert one.keys() == two.keys()
    # What is added to all keys changes no attention: its gradient is zero, and Adam makes a step of the rounding error.
    keys = ("qkv.bias", "asking.0.linear.bias")
    names = [name for name in one if ".queue." not in name and not name.endswith(keys)]
    assert any(".teacher.model." in name for name in names)
    for name in names:
        assert (one[name] - two[name]).double().norm() <= 1e-4 * one[name].double().norm() + 1e-5, name


def test_the_queue_holds_what_that_of_one_process_holds(both):
    held = []
    for learned, _ in both:
        queue = {name.rsplit(".", 1)[1]: value for name, value in learned.items() if ".queue." in name}
        assert queue["filled"] == 16 and queue["pointer"] == 0
        # Within a step the processes' rows come one process after the other, so by what they are of.
        held.append((queue, torch.from_numpy(np.lexsort((queue["ids_b"].numpy(), queue["ids_a"].numpy())))))
    (one, first), (two, second) = held
    for name in ("a", "b"):
        torch.testing.assert_close(one[name][first], two[name][second], rtol=1e-4, atol=1e-5)
        assert torch.equal(one[f"ids_{name}"][first], two[f"ids_{name}"][second])
