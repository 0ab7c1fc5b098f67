"""One process of the test of several: its rows' losses and gradients, saved as `CASE-KIND-LOSS-RANK.safetensors`.

torchrun --nproc-per-node 2 --module tests.objectives.coupled_worker FOLDER
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch import distributed as dist

from sensorium.features import Loss
from sensorium.objectives.losses import canonical_correlation, jensen_shannon, rows, triplet
from tests.objectives.plain import MAKERS, Pairs

PROCESSES = 2
CASES = {"uneven": (11, 28), "empty": (39, 0)}
KINDS = ("unique", "gappy")
FACTOR, BIAS = math.log(5.0), -0.5


def loss_of(pairs: Pairs, which: str, given: dict[str, Tensor], group: dist.ProcessGroup | None) -> Loss:
    """The loss `which` of a batch whose a, b, factor and bias are `given`."""
    a, b = given["a"], given["b"]
    if which == "correlation":
        return canonical_correlation(a, b, pairs.present_a, pairs.present_b, 3, 1e-2, group)
    told: Callable[..., Loss] = partial(triplet, margin=0.3, mining=which)
    if which == "information":
        told = partial(jensen_shannon, log_factor=given["log_factor"], bias=given["bias"])
    return told(a, b, **pairs.named(), group=group)


def run(
    pairs: Pairs, which: str, dtype: torch.dtype, group: dist.ProcessGroup | None, narrow: bool = False
) -> dict[str, Tensor]:
    """Total, count and gradients; `narrow`: under autocast to bfloat16."""
    numbers = {
        name: torch.tensor(value, dtype=torch.float64) for name, value in (("log_factor", FACTOR), ("bias", BIAS))
    }
    given = {"a": pairs.a, "b": pairs.b} | numbers
    given = {name: value.to(dtype).clone().requires_grad_() for name, value in given.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        loss = loss_of(pairs, which, given, group)
    loss.total.backward()
    read = given if which == "information" else ("a", "b")
    # Of a process without rows, too: the others wait for what it has no gradient of.
    return {"total": loss.total.detach(), "count": loss.count} | {name: given[name].grad for name in read}


def batch(kind: str) -> Pairs:
    """The 39 rows of all processes together."""
    return MAKERS[kind](39, 6, 5.0)


LOSSES = ("semihard", "hardest", "information", "correlation")


def main(folder: Path) -> None:
    """Every case, kind and loss."""
    dist.init_process_group("gloo")
    rows.ROWS = 8
    rank = dist.get_rank()
    for (case, sizes), kind, which in product(CASES.items(), KINDS, LOSSES):
        start = sum(sizes[:rank])
        mine = batch(kind).rows(slice(start, start + sizes[rank]))
        found = run(mine, which, torch.float64, dist.group.WORLD)
        save_file(
            {key: value.contiguous() for key, value in found.items()},
            folder / f"{case}-{kind}-{which}-{rank}.safetensors",
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
