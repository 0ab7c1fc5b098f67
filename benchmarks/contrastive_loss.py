"""Softmax contrastive loss, forward and backward, against open_clip's ClipLoss: seconds, ratio, peak extra memory.

    python benchmarks/contrastive_loss.py [--rows 4096 8192 16384 32768] [--width 512] [--rounds 5] [--factor 14.3]
    python benchmarks/contrastive_loss.py --large

Both take the same embeddings and alternate in one process; what is taken is processor time and wall time, medians, and
the ratio of each round with its spread. In bf16 both get the same bfloat16 embeddings; the peer runs on them as they
are (`bf16`) and in autocast (`amp`), as open_clip trains, where its softmax is float32 as ours always is. Peak extra
memory is the high-water mark of the resident set over a first call, gradients included, less what was there before, in
a process of its own (Linux). A size for which the peer needs more memory than there is, is ours alone. `--large` takes
131,072 rows, ours alone. Threads are as OMP_NUM_THREADS says. Needs the peer: pip install --no-deps open_clip_torch
ftfy regex.
"""

import argparse
import ctypes
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sensorium.objectives.losses import softmax_contrastive

LARGE = 131_072
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "amp": torch.bfloat16}
PEER_MATRICES = {"fp32": 4.5 * 4, "bf16": 4.5 * 2, "amp": 4.5 * 4}  # bytes a pair that the peer holds at once
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def ours(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """The mean over rows."""
    ids = torch.arange(len(a))
    total, count = softmax_contrastive(a, b, ids, ids, scale)
    return total / count


def peer(precision: str) -> Loss:
    """open_clip's loss as it is called in its training."""
    from open_clip.loss import ClipLoss

    loss = ClipLoss()

    def call(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "amp"):
            return loss(a, b, scale.exp())

    return call


def batch(rows: int, width: int, precision: str, factor: float) -> list[Tensor]:
    """Unit vectors in pairs with cosines about .45, and the logarithm of the factor."""
    torch.manual_seed(0)
    a = F.normalize(torch.randn(rows, width), dim=1)
    b = F.normalize(a + 2 * F.normalize(torch.randn(rows, width), dim=1), dim=1)
    sides = [side.to(DTYPES[precision]).requires_grad_() for side in (a, b)]
    return [*sides, torch.tensor(math.log(factor), requires_grad=True)]


def step(loss: Loss, given: list[Tensor]) -> np.ndarray:
    """Processor and wall seconds of forward and backward."""
    for tensor in given:
        tensor.grad = None
    began = np.array([time.process_time(), time.perf_counter()])
    loss(*given).backward()
    return np.array([time.process_time(), time.perf_counter()]) - began


def resident(mark: str) -> float:
    """MiB of this process: now (`VmRSS`), or at most since the mark was reset (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(mark)) / 1024


def peak(loss: Loss, given: list[Tensor]) -> float:
    """MiB that a first forward and backward take beyond what the process has."""
    step(loss, [tensor[:64].detach().requires_grad_() if tensor.ndim else tensor for tensor in given])
    ctypes.CDLL(None).malloc_trim(0)  # else what making the batch freed would be used again, unseen
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    step(loss, given)
    return resident("VmHWM") - before


def peak_apart(who: str, precision: str, rows: int, width: int) -> float:
    """`peak` in a process of its own."""
    command = [sys.executable, __file__, "--peak", who, precision, str(rows), str(width)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(rows: int, width: int, precision: str, rounds: int, factor: float) -> None:
    """Prints one line."""
    given = batch(rows, width, precision, factor)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = PEER_MATRICES[precision] * rows**2
    ways = {"ours": ours} | ({"peer": peer(precision)} if needed < free else {})
    taken = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds = step(way, given)
            if number:  # the first warms up
                taken[name].append(seconds)
    memory = {name: peak_apart(name, precision, rows, width) for name in ways}
    line = f"{precision} {rows:>7,}"
    for name in ways:
        processor, wall = np.median(taken[name], axis=0)
        line += f"  {name} {processor:7.2f} s ({wall:7.2f} wall) {memory[name]:7.0f} MiB"
    if "peer" in ways:
        ratios = np.array(taken["ours"]) / np.array(taken["peer"])  # [rounds, 2]
        low, middle, high = np.quantile(ratios, [0, 0.5, 1], axis=0)
        line += f"  time ratio {middle[0]:.3f} ({low[0]:.3f} to {high[0]:.3f}), wall {middle[1]:.3f}"
        line += f"  memory ratio {memory['ours'] / memory['peer']:.3f}"
    else:
        line += f"  (the peer needs about {needed / 2**30:.0f} GiB)"
    print(line, flush=True)


def main() -> None:
    """Prints a line for each size and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[4096, 8192, 16_384, 32_768])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--factor", type=float, default=14.3, help="exp(logit_scale); learned, 14.3 at first, 100 at most"
    )
    parser.add_argument("--precision", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--large", action="store_true", help=f"peak extra memory of {LARGE:,} rows")
    parser.add_argument("--peak", nargs=4, metavar=("WHO", "PRECISION", "ROWS", "WIDTH"), help="print one peak, in MiB")
    given = parser.parse_args()
    if given.peak:
        who, precision, rows, width = given.peak
        way = ours if who == "ours" else peer(precision)
        print(peak(way, batch(int(rows), int(width), precision, given.factor)))
    elif given.large:
        print(
            f"{LARGE:,} rows of {given.width}: {peak_apart('ours', 'fp32', LARGE, given.width):,.0f} MiB extra at peak"
        )
    else:
        for precision in given.precision:
            for rows in given.rows:
                compare(rows, given.width, precision, given.rounds, given.factor)


if __name__ == "__main__":
    main()
