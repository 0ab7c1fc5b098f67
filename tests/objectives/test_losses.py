"""The tiled losses against the plain ones of `plain.py`, and what no plain one promises: memory, range, absence."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sensorium.objectives.losses import bound_logit_scale, sigmoid_contrastive, softmax_contrastive, tiles
from tests.objectives import plain
from tests.objectives.plain import MAKERS, Pairs, unique

ROOT = Path(__file__).parents[2]
BIAS = -10.0


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of a size that divides no batch of these tests, so that each has whole and partial ones."""
    monkeypatch.setattr(tiles, "CPU_TILE", 16)


def ours(pairs: Pairs, bias: Tensor | None = None) -> Tensor:
    if bias is None:
        return softmax_contrastive(pairs.a, pairs.b, logit_scale=pairs.scale, **pairs.named()).total
    return sigmoid_contrastive(pairs.a, pairs.b, logit_scale=pairs.scale, logit_bias=bias, **pairs.named()).total


def theirs(pairs: Pairs, bias: Tensor | None = None) -> Tensor:
    return plain.softmax(pairs) if bias is None else plain.sigmoid(pairs, bias)


def measured(loss: Callable, pairs: Pairs, dtype: torch.dtype, biased: bool) -> dict[str, Tensor]:
    """The loss of embeddings in `dtype` and its gradients, as float64; the scale and the bias are never narrower than
    float32.
    """
    a, b = (side.detach().to(dtype).requires_grad_() for side in (pairs.a, pairs.b))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    scale = pairs.scale.detach().to(wide).requires_grad_()
    bias = torch.tensor(BIAS, dtype=wide, requires_grad=True) if biased else None
    total = loss(pairs._replace(a=a, b=b, scale=scale), bias)
    total.backward()
    found = {"total": total.detach(), "a": a.grad, "b": b.grad, "scale": scale.grad} | (
        {"bias": bias.grad} if biased else {}
    )
    return {name: value.double() for name, value in found.items()}


def error(found: dict[str, Tensor], true: dict[str, Tensor]) -> dict[str, float]:
    return {name: ((found[name] - true[name]).norm() / true[name].norm()).item() for name in true}


@pytest.mark.parametrize("biased", [False, True], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("factor", [1.0, 14.3, 100.0])
@pytest.mark.parametrize("maker", MAKERS)
def test_loss_and_gradients_are_those_of_the_plain_formula(maker, factor, biased):
    pairs = MAKERS[maker](53, 12, factor)
    true = measured(theirs, pairs, torch.float64, biased)
    assert all(value.norm() > 0 for value in true.values())
    assert max(error(measured(ours, pairs, torch.float64, biased), true).values()) < 1e-12
    assert max(error(measured(ours, pairs, torch.float32, biased), true).values()) < 5e-6


@pytest.mark.parametrize("maker", MAKERS)
def test_derivatives_by_finite_differences(maker):
    pairs = MAKERS[maker](19, 3, 3.0)
    keep = plain.present(pairs)
    pairs = pairs.rows(keep)
    given = [side.requires_grad_() for side in (pairs.a, pairs.b, pairs.scale, torch.tensor(-1.0).double())]

    def softmax(a, b, scale):
        return ours(pairs._replace(a=a, b=b, scale=scale))

    def sigmoid(a, b, scale, bias):
        return ours(pairs._replace(a=a, b=b, scale=scale), bias)

    assert torch.autograd.gradcheck(softmax, given[:3])
    assert torch.autograd.gradcheck(sigmoid, given)


def test_unique_ids_give_the_loss_of_clip():
    pairs = unique(50, 8, 14.3)
    logits = pairs.scale.exp() * pairs.a @ pairs.b.T
    both = (F.cross_entropy(logits, torch.arange(50)) + F.cross_entropy(logits.T, torch.arange(50))) / 2
    loss = softmax_contrastive(pairs.a, pairs.b, pairs.ids_a, pairs.ids_b, pairs.scale)
    assert loss.count == 50
    assert torch.isclose(loss.total / loss.count, both, rtol=1e-12)


def test_a_caption_twice_is_no_negative():
    """Two records with one caption and one vector each: neither is pushed from the other."""
    a, b = torch.eye(3)[[0, 0, 1]].double(), torch.eye(3)[[0, 0, 1]].double()
    ids, scale = torch.arange(3), torch.tensor(100.0).double().log()
    alone = softmax_contrastive(a, b, ids, ids, scale).total
    twice = softmax_contrastive(a, b, ids, torch.tensor([7, 7, 8]), scale).total
    assert torch.isclose(alone, 2 * torch.tensor(2.0).double().log())
    assert torch.isclose(twice, alone)  # the target is spread over two, which ln 2 is the entropy of
    pushed = [torch.tensor(b, requires_grad=True) for b in (b.tolist(), b.tolist())]
    for given, ids_b in zip(pushed, (ids, torch.tensor([7, 7, 8])), strict=True):
        softmax_contrastive(
            a + torch.tensor([[0, 0, 0.1], [0, 0, -0.1], [0, 0, 0]]), given.double(), ids, ids_b, scale
        ).total.backward()
    assert pushed[0].grad[0, 2].abs() > 1
    assert pushed[1].grad[0, 2].abs() < 1e-6


@pytest.mark.parametrize("factor", [1.0, 10.0, 100.0])
def test_the_worst_pairs_neither_overflow_nor_vanish(factor):
    """Own pairs that point away from each other beside ones that agree: sums of exp from exp(-100) to exp(100)."""
    pairs = unique(40, 6, factor, noise=0.0)
    b = pairs.b.clone()
    b[::3] = -pairs.a[::3]
    lonely = torch.zeros(6, dtype=torch.float64)
    lonely[0] = 1.0
    a = F.normalize(pairs.a + 3 * lonely, dim=1)
    for given in (pairs._replace(b=b), pairs._replace(a=a, b=-a), pairs._replace(a=a, b=a)):
        true = measured(theirs, given, torch.float64, biased=False)
        for dtype, most in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
            found = measured(ours, given, dtype, biased=False)
            for name, value in true.items():
                assert (found[name] - value).norm() <= most * max(value.norm(), factor), (name, dtype)


def test_a_loss_next_to_nothing_keeps_its_digits():
    """Nearly all pairs are found: a row's loss is a third of a thousandth, at logits of 55 whose rounding is a
    hundredth of that.
    """
    pairs = unique(60, 64, 100.0, noise=1.5)
    true = measured(theirs, pairs, torch.float64, biased=False)
    assert 0.01 < true["total"] < 0.02
    found = error(measured(ours, pairs, torch.float32, biased=False), true)
    assert max(found["total"], found["a"], found["b"]) < 1e-4
    assert found["scale"] < 1e-3


def test_the_loss_of_easy_negatives_keeps_its_digits():
    """log(1 + exp(x)) where exp(x) is lost beside 1, and everywhere else."""
    numbers = torch.linspace(-80, 110, 4001)[None]
    true = torch.logaddexp(numbers.double(), torch.zeros((), dtype=torch.float64))
    found = tiles.softplus_(numbers.clone(), tiles.Tiles(numbers, torch.float32))
    assert ((found - true) / true).abs().max() < 1e-6


@pytest.mark.parametrize("biased", [False, True], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("factor", [1.0, 14.3, 100.0])
def test_bfloat16_is_no_further_off_than_the_plain_formula_in_bfloat16(factor, biased):
    """Averaged over batches: a single one's error is luck. The embeddings are bfloat16 for the true loss too."""
    sums = {"ours": {}, "theirs": {}}
    for seed in range(6):
        pairs = unique(64, 64, factor, seed=seed)
        pairs = pairs._replace(a=pairs.a.bfloat16().double(), b=pairs.b.bfloat16().double())
        true = measured(theirs, pairs, torch.float64, biased)
        for name, loss in (("ours", ours), ("theirs", theirs)):
            for part, value in error(measured(loss, pairs, torch.bfloat16, biased), true).items():
                sums[name][part] = sums[name].get(part, 0.0) + value / 6
    for part in ("total", "a", "b"):
        assert sums["ours"][part] <= 1.05 * sums["theirs"][part], (part, sums)
    assert softmax_contrastive(
        pairs.a.bfloat16(), pairs.b.bfloat16(), pairs.ids_a, pairs.ids_b, pairs.scale
    ).total.dtype == torch.float32  # fmt: skip


def test_autocast_changes_nothing():
    pairs = unique(40, 16, 50.0)
    for biased in (False, True):
        alone = measured(ours, pairs, torch.float32, biased)
        with torch.autocast("cpu", torch.bfloat16):
            within = measured(ours, pairs, torch.float32, biased)
        assert all(torch.equal(alone[name], within[name]) for name in alone)


class Largest(TorchDispatchMode):
    """The most numbers that any one result within it has."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        result = call(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.mark.parametrize("biased", [False, True], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("maker", ["unique", "shared"])
def test_nothing_as_large_as_all_pairs_is_made(maker, biased):
    pairs = MAKERS[maker](400, 8, 20.0)
    with Largest() as largest:
        measured(ours, pairs, torch.float32, biased)
    assert largest.numbers <= 4 * 400 * 8
    with Largest() as largest:
        measured(theirs, pairs, torch.float32, biased)
    assert largest.numbers == 400 * 400


@pytest.mark.parametrize("biased", [False, True], ids=["softmax", "sigmoid"])
def test_what_an_absent_side_holds_changes_no_bit(biased):
    pairs = MAKERS["gappy"](40, 8, 20.0)
    noise = torch.randn_like(pairs.a)
    filled = pairs._replace(
        a=torch.where(pairs.present_a[:, None], pairs.a, noise), b=torch.where(pairs.present_b[:, None], pairs.b, noise)
    )
    one, other = (measured(ours, given, torch.float32, biased) for given in (pairs, filled))
    assert all(torch.equal(one[name], other[name]) for name in one)
    keep = plain.present(pairs)
    gone = torch.ones(40, dtype=torch.bool).index_fill(0, keep, False)
    assert not one["a"][gone].any() and not one["b"][gone].any()
    assert softmax_contrastive(pairs.a, pairs.b, logit_scale=pairs.scale, **pairs.named()).count == len(keep) < 40


@pytest.mark.parametrize("biased", [False, True], ids=["softmax", "sigmoid"])
def test_a_batch_without_any_pair_counts_for_nothing(biased):
    pairs = unique(5, 4, 20.0)._replace(present_b=torch.zeros(5, dtype=torch.bool))
    assert not any(value.any() for value in measured(ours, pairs, torch.float32, biased).values())


@pytest.mark.parametrize("wanted", [("a",), ("b",), ("scale",), ("b", "scale")])
def test_a_locked_side_leaves_the_other_gradients_as_they_are(wanted):
    pairs = unique(40, 8, 20.0)
    for biased in (False, True):
        true = measured(ours, pairs, torch.float64, biased)
        leaves = {name: getattr(pairs, name).clone().requires_grad_() for name in wanted}
        ours(pairs._replace(**leaves), torch.tensor(BIAS).double() if biased else None).backward()
        for name, leaf in leaves.items():
            assert torch.allclose(leaf.grad, true[name], rtol=1e-12)


def test_a_bound_of_zero_is_a_bound():
    for low, high, start, end in [
        (0.0, math.log(100), -3.0, 0.0),
        (None, 0.0, 2.0, 0.0),
        (0.0, None, 9.0, 9.0),
        (None, None, -9.0, -9.0),
        (None, math.log(100), -9.0, -9.0),
    ]:
        scale = torch.nn.Parameter(torch.tensor(start))
        bound_logit_scale(scale, low, high)
        assert scale.item() == pytest.approx(end)
    scale = torch.nn.Parameter(torch.tensor(9.0))
    bound_logit_scale(scale)
    assert scale.exp().item() == pytest.approx(100)


def test_what_does_not_fit_is_said():
    pairs = unique(6, 4, 20.0)
    with pytest.raises(ValueError, match=r"a and b must be \[N, E\]"):
        softmax_contrastive(pairs.a, pairs.b[:5], pairs.ids_a, pairs.ids_b, pairs.scale)
    with pytest.raises(ValueError, match=r"must be \[6\].* not \[5\]"):
        softmax_contrastive(pairs.a, pairs.b, pairs.ids_a[:5], pairs.ids_b, pairs.scale)
    with pytest.raises(ValueError, match="unit length"):
        softmax_contrastive(50 * pairs.a, -50 * pairs.b, pairs.ids_a, pairs.ids_b, pairs.scale)


def extra_memory(rows: int, width: int, timeout: int) -> float:
    """MiB above what the process had, of forward and backward, in a process of its own."""
    command = [sys.executable, "benchmarks/contrastive_loss.py", "--peak", "ours", "fp32", str(rows), str(width)]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout)


def test_memory_grows_with_the_rows_not_their_square():
    """The bound of the large test, scaled down with the rows; all pairs in float32 once are as much."""
    assert extra_memory(4096, 16, timeout=60) <= 4096 * 4096 / 131_072


@pytest.mark.slow
def test_a_hundred_and_thirty_thousand_rows_fit_in_four_gibibytes():
    """All pairs once are 64 GiB. Narrow rows, for time: 480 more columns are 240 MiB in each of a, b and their
    gradients."""
    assert extra_memory(131_072, 32, timeout=3600) <= 4096 - 4 * 240
