"""A training step of each fusion of tokens, forward and backward, against its formula in plain PyTorch: time and ratio.

    python benchmarks/fusions.py [--fusions co_attention bottleneck ...] [--rows 256] [--tokens 50] [--width 128]
        [--rounds 7] [--ragged]

Three inputs. Ours is given Features, the peer (`benchmarks/fusion_peers.py`) the same tensors; both end in the sum of
squares of the summary. Without `--ragged` every token is real, and the peer is told so and masks nothing; with it, an
input has between one token and all, and a fifth of the inputs are absent. Dropout is off in both, so that both do the
same arithmetic. The two alternate in one process; what is taken is processor time, medians, and the ratio of each round
with its spread. `token_graph` takes a sixteenth of the rows: the peer holds every pair of tokens at full width.
The fusions of summaries are in `benchmarks/pooled_fusions.py`. Threads are as OMP_NUM_THREADS says.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import fusion_peers as peers
from sensorium.features import Features
from sensorium.fusion import FUSIONS

NAMES = ("text", "image", "audio")
PEERS: dict[str, Callable[[dict[str, int], int], nn.Module]] = {
    "transformer": peers.Stream,
    "cross_attention": peers.Cross,
    "serial": partial(peers.Cross, serial=True),
    "co_attention": peers.MulT,
    "bottleneck": peers.MBT,
    "resampler": peers.Perceiver,
    "graph": peers.GATv2,
    "token_graph": partial(peers.GATv2, nodes="tokens"),
}
FEWER = {"token_graph": 16}


def batch(rows: int, tokens: int, width: int, ragged: bool) -> dict[str, Features]:
    """Features of the three inputs."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name in NAMES:
        lengths = torch.full((rows, 1), tokens)
        if ragged:
            lengths = torch.randint(1, tokens + 1, (rows, 1), generator=generator)
            lengths *= torch.rand(rows, 1, generator=generator) >= 0.2
        x = torch.randn(rows, tokens, width, generator=generator)
        found[name] = Features(x, torch.arange(tokens) < lengths, x.mean(dim=1))
    return found


def step(module: nn.Module, run: Callable[[], Tensor]) -> float:
    """Processor seconds of one step."""
    module.zero_grad()
    start = time.process_time()
    run().square().sum().backward()
    return time.process_time() - start


def measure(name: str, arguments: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of each round, ours and the peer's."""
    torch.manual_seed(0)
    rows = max(1, arguments.rows // FEWER.get(name, 1))
    features = batch(rows, arguments.tokens, arguments.width, arguments.ragged)
    raw = {key: (x.tokens, x.mask if arguments.ragged else None, x.pooled) for key, x in features.items()}
    dims = dict.fromkeys(NAMES, arguments.width)
    kind = FUSIONS[name]
    settings = {"dim": arguments.width, "dropout": 0.0}
    ours = kind(kind.Config(**{key: value for key, value in settings.items() if key in kind.Config.model_fields}), dims)
    peer = PEERS[name](dims, arguments.width)
    own, other = [], []
    for _ in range(arguments.rounds + 1):
        own.append(step(ours, lambda: ours(features).pooled))
        other.append(step(peer, lambda: peer(raw)))
    return own[1:], other[1:]


def main() -> None:
    """Measures and prints a row for each fusion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fusions", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ragged", action="store_true")
    arguments = parser.parse_args()
    print(f"{'fusion':16} {'ours ms':>9} {'peer ms':>9} {'ratio':>6}  lowest to highest")
    for name in arguments.fusions:
        own, other = measure(name, arguments)
        ratios = [a / b for a, b in zip(own, other, strict=True)]
        print(
            f"{name:16} {1000 * statistics.median(own):9.1f} {1000 * statistics.median(other):9.1f}"
            f" {statistics.median(ratios):6.2f}  {min(ratios):.2f} to {max(ratios):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
