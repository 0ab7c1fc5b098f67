"""Losses over the rows of several real processes against those of one process that has them all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sensorium.objectives.losses.pairs import Positives
from tests.objectives import plain
from tests.objectives.plain import MAKERS
from tests.objectives.ring_worker import CASES, PROCESSES, WAYS, batch, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the processes left what they found."""
    folder = tmp_path_factory.mktemp("ring")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}"]
    done = subprocess.run(
        [*command, "--module", "tests.objectives.ring_worker", str(folder)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def found(folder: Path, case: str, kind: str, biased: bool, way: int = 0) -> list[dict[str, Tensor]]:
    """What each process of the case found."""
    dtype, weights = WAYS[way]
    ranks = [rank for rank in range(PROCESSES) if CASES[case][rank] is not None]
    return [load_file(folder / f"{case}-{kind}-{biased}-{dtype}-{weights[0]}-{rank}.safetensors") for rank in ranks]


@pytest.mark.parametrize("biased", [False, True], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("case", CASES)
def test_processes_together_are_one(folder, case, kind, biased):
    for way, most in ((0, 1e-5), (1, 1e-2)) if case == "uneven" else ((0, 1e-5),):
        parts = found(folder, case, kind, biased, way)
        one = run(batch(kind), WAYS[way][0], biased, 1.0, None)
        for name, value in one.items():
            rows = name in ("a", "b")
            together = torch.cat([part[name] for part in parts]) if rows else sum(part[name] for part in parts)
            assert (together.double() - value.double()).norm() <= most * value.double().norm(), (name, way)
        assert one["count"] > 20


@pytest.mark.parametrize("kind", MAKERS)
def test_each_process_answers_for_its_own_rows(folder, kind):
    """Totals with a weight for each process: half of its rows' and half of its columns' losses, gradients as well."""
    pairs = batch(kind)
    owner = torch.repeat_interleave(torch.arange(PROCESSES), torch.tensor(CASES["uneven"]))
    weights = torch.tensor(WAYS[2][1], dtype=torch.float64)[owner]
    a, b = (side.clone().requires_grad_() for side in (pairs.a, pairs.b))
    scale = pairs.scale.clone().requires_grad_()
    keep = plain.present(pairs)
    whole = pairs._replace(a=a, b=b, scale=scale).rows(keep)
    logits = whole.scale.exp() * whole.a @ whole.b.T
    target = plain.positives(whole).double()
    target = target / target.sum(1, keepdim=True)
    losses = -(target * (logits.log_softmax(1) + logits.T.log_softmax(1))).sum(1) / 2  # [rows]
    (losses * weights[keep]).sum().backward()
    parts = found(folder, "uneven", kind, False, way=2)
    for rank, part in enumerate(parts):
        total = losses[owner[keep] == rank].sum().detach()
        assert torch.isclose(part["total"].double(), total, rtol=1e-5, atol=1e-5)
    for name, true in (("a", a.grad), ("b", b.grad)):
        together = torch.cat([part[name] for part in parts])
        assert (together - true).norm() <= 1e-5 * true.norm(), name
    assert torch.isclose(sum(part["scale"] for part in parts).double(), scale.grad, rtol=1e-4)


def test_counts_of_positives_are_those_of_the_whole_matrix():
    pairs = plain.shared(200, 4, 10.0)
    positives = Positives(torch.stack([pairs.ids_a, pairs.ids_b, pairs.labels], dim=1))
    whole = plain.positives(pairs)
    assert torch.equal(positives.counts, whole.sum(1))
    assert positives.counts.max() > 5 and positives.counts.min() == 1
    i, j = positives.within(slice(30, 90), slice(50, 200))
    tile = torch.zeros(60, 150, dtype=torch.long)
    tile.index_put_((i, j), torch.ones_like(i), accumulate=True)
    assert torch.equal(tile, whole[30:90, 50:200].long())  # each of them once
