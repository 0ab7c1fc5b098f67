"""Triplets, information and correlation against plain statements, by finite differences, and over two processes."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sensorium.objectives.losses import canonical_correlation, jensen_shannon, rows, triplet
from tests.objectives import plain, plain_coupled
from tests.objectives.coupled_worker import BIAS, CASES, FACTOR, KINDS, LOSSES, PROCESSES, batch, loss_of, run
from tests.objectives.plain import MAKERS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short_strips(monkeypatch):
    """Strips of a height that divides no batch of these tests."""
    monkeypatch.setattr(rows, "ROWS", 8)


@pytest.mark.parametrize("which", LOSSES)
@pytest.mark.parametrize("kind", MAKERS)
def test_the_loss_is_the_plain_formulas(kind, which):
    pairs = batch(kind)
    expected = plain_coupled.losses(pairs)[which]
    for dtype, most in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        found = run(pairs, which, dtype, None)
        assert found["count"] == len(plain.present(pairs))
        assert (found["total"] / found["count"]).item() == pytest.approx(expected, rel=most)
        assert all(found[side].isfinite().all() for side in ("a", "b"))


@pytest.mark.parametrize("which", LOSSES)
def test_derivatives_by_finite_differences(which):
    pairs = plain.gappy(17, 2, 5.0)
    pairs = pairs.rows(plain.present(pairs))
    start = [pairs.a, pairs.b, torch.tensor(FACTOR).double(), torch.tensor(BIAS).double()]
    given = [one.clone().requires_grad_() for one in (start if which == "information" else start[:2])]
    names = ("a", "b", "log_factor", "bias")
    assert torch.autograd.gradcheck(
        lambda *values: loss_of(pairs, which, dict(zip(names, values, strict=False)), None).total, given
    )


@pytest.mark.parametrize("which", LOSSES)
def test_what_an_absent_row_holds_changes_no_bit(which):
    pairs = batch("gappy")
    one = run(pairs, which, torch.float32, None)
    noise = [torch.where(side.isnan(), torch.randn_like(side), side) for side in (pairs.a, pairs.b)]
    two = run(pairs._replace(a=noise[0], b=noise[1]), which, torch.float32, None)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_caption_twice_is_no_stranger():
    """Two records with one caption: neither learns to be away from the other's picture."""
    a = torch.eye(3)[[0, 0, 1]].double()
    ids, captions = torch.arange(3), torch.tensor([7, 7, 8])
    assert triplet(a, a, ids, ids, 0.2, "hardest").total.item() == pytest.approx(2 * 0.2)
    assert triplet(a, a, ids, captions, 0.2, "hardest").total == 0.0
    b = a + torch.tensor([[0.1, 0, 0], [0, 0, 0], [0, 0, 0]])  # the twin is further, by less than the margin
    apart, same = (triplet(b, a, ids, given, 0.2, "semihard").total for given in (ids, captions))
    assert apart > 0.05 and same == 0.0
    zero = torch.zeros(()).double()
    alone, twice = (jensen_shannon(a, a, ids, given, zero + 3, zero - 10).total for given in (ids, captions))
    assert twice < alone / 5


def test_a_record_alone_learns_nothing_and_is_finite():
    one, ids = torch.ones(1, 4).requires_grad_(), torch.zeros(1, dtype=torch.long)
    zero = torch.zeros(())
    losses = [
        triplet(one, one, ids, ids),
        canonical_correlation(one, one),
        jensen_shannon(one, one, ids, ids, zero, zero),
    ]
    nobody = torch.zeros(1, dtype=torch.bool)
    losses += [
        triplet(one, one, ids, ids, present_a=nobody),
        canonical_correlation(one, one, nobody),
        jensen_shannon(one, one, ids, ids, zero, zero, present_a=nobody),
    ]
    totals = [loss.total.item() for loss in losses]
    assert totals == pytest.approx([0.0, 1.0, math.log(1 + math.exp(-4)), 0.0, 0.0, 0.0])
    assert [int(loss.count) for loss in losses] == [1, 1, 1, 0, 0, 0]
    sum(loss.total for loss in losses).backward()
    assert one.grad.isfinite().all()


def test_embeddings_that_say_nothing_stand_at_chance():
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(400, 8), dim=1) for _ in range(2))
    ids, zero = torch.arange(400), torch.zeros(())
    assert (jensen_shannon(a, b, ids, ids, zero - 30, zero).total / 400).item() == pytest.approx(
        2 * math.log(2), rel=1e-4
    )
    assert canonical_correlation(a, b).total / 400 > 0.8
    assert canonical_correlation(a, a @ torch.randn(8, 8), ridge=1e-6).total / 400 < 0.01  # any directions do


def test_rows_that_are_all_alike_have_finite_gradients():
    """Where square roots by eigenvectors divide by differences of eigenvalues that are none."""
    for made in (torch.ones(20, 4), torch.eye(4).repeat(5, 1), torch.nn.functional.normalize(torch.randn(3, 4), dim=1)):
        a = made.clone().requires_grad_()
        loss = canonical_correlation(a, made.flip(0).clone().requires_grad_(), ridge=1e-6)
        loss.total.backward()
        assert loss.total.isfinite() and a.grad.isfinite().all()


def test_autocast_narrows_nothing():
    for which in LOSSES:
        expected, found = (run(batch("unique"), which, torch.float32, None, narrow) for narrow in (False, True))
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the processes left what they found."""
    folder = tmp_path_factory.mktemp("coupled")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}"]
    done = subprocess.run(
        [*command, "--module", "tests.objectives.coupled_worker", str(folder)], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("which", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_processes_together_are_one(folder, case, kind, which):
    parts = [load_file(folder / f"{case}-{kind}-{which}-{rank}.safetensors") for rank in range(PROCESSES)]
    one = run(batch(kind), which, torch.float64, None)
    for name, value in one.items():
        rows = name in ("a", "b")
        together = torch.cat([part[name] for part in parts]) if rows else sum(part[name] for part in parts)
        assert torch.allclose(together.double(), value.double(), rtol=1e-9, atol=1e-12), name
    assert one["count"] > 15 and one["a"].abs().sum() > 0
