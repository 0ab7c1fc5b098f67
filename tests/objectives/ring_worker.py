"""One process of the test of several: its rows' losses and gradients, saved as `CASE-RANK.safetensors`.

torchrun --nproc-per-node 3 --module tests.objectives.ring_worker FOLDER
"""

import sys
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch import distributed as dist

from sensorium.objectives.losses import sigmoid_contrastive, softmax_contrastive, tiles
from tests.objectives.plain import MAKERS, Pairs

PROCESSES = 3
BIAS = -5.0
FACTOR = 30.0
# Rows of each process; the last two processes form a group of their own in the cases of two.
CASES = {
    "even": (17, 17, 17),
    "uneven": (3, 30, 18),
    "empty": (25, 0, 26),
    "two uneven": (None, 40, 11),
    "two empty": (None, 51, 0),
    "absent": (49, 1, 1),  # the one row of the second process, of `gappy`, lacks a side
}
# With a weight of each process's own, what it gives to the others' gradients is their part of its total.
WAYS = [(torch.float32, (1.0, 1.0, 1.0)), (torch.bfloat16, (1.0, 1.0, 1.0)), (torch.float32, (0.0, 0.5, 2.0))]


def batch(kind: str) -> Pairs:
    """The 51 rows of all processes together."""
    return MAKERS[kind](51, 12, FACTOR)


def run(
    pairs: Pairs, dtype: torch.dtype, biased: bool, weight: float, group: dist.ProcessGroup | None
) -> dict[str, Tensor]:
    """Total, count and the gradients of `weight` times the total."""
    given = {"a": pairs.a.to(dtype), "b": pairs.b.to(dtype), "scale": pairs.scale.float()}
    given = {name: value.clone().requires_grad_() for name, value in given.items()}
    a, b, scale = given.values()
    bias = torch.tensor(BIAS, requires_grad=biased)
    if biased:
        loss = sigmoid_contrastive(a, b, logit_scale=scale, logit_bias=bias, group=group, **pairs.named())
        given["bias"] = bias
    else:
        loss = softmax_contrastive(a, b, logit_scale=scale, group=group, **pairs.named())
    (weight * loss.total).backward()
    return {"total": loss.total.detach(), "count": loss.count} | {name: value.grad for name, value in given.items()}


def main(folder: Path) -> None:
    """Every case, kind and loss."""
    dist.init_process_group("gloo")
    tiles.CPU_TILE = 8
    rank, two = dist.get_rank(), dist.new_group([1, 2])
    for case, sizes in CASES.items():
        if sizes[rank] is None:
            continue
        start = sum(size or 0 for size in sizes[:rank])
        group = two if sizes[0] is None else dist.group.WORLD
        for kind, biased, (dtype, weights) in product(MAKERS, (False, True), WAYS if case == "uneven" else WAYS[:1]):
            mine = batch(kind).rows(slice(start, start + sizes[rank]))
            found = run(mine, dtype, biased, weights[rank], group)
            name = f"{case}-{kind}-{biased}-{dtype}-{weights[0]}-{rank}.safetensors"
            save_file({key: value.contiguous() for key, value in found.items()}, folder / name)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
