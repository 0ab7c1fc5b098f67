"""One training step of ViT-B-32 at batch 32, captions of 8 to 20 tokens, ours against open_clip's: time, agreement.

    python benchmarks/clip_step.py [--rounds 7] [--threads 1] [--batch 32] [--preset ViT-B-32]

A step is forward, loss, backward and AdamW. Both sides start from the same weights and take the same pictures, token
numbers and targets. Ours runs at our defaults (bf16 autocast, fused AdamW) and in fp32; the peer as shipped (fp32) and
at our precision (amp_bf16), with the optimiser of its training script. The four alternate within a round. With one
thread the time is the process's own, with more it is the wall's. Losses and gradients are compared in fp32, and each
side's bf16 gradient with its fp32 one.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import open_clip
import torch
from torch import Tensor, nn

from sensorium.families.clip import clip, preset
from sensorium.families.clip_open_clip import open_clip_weights
from sensorium.families.clip_weights import fill, publish
from sensorium.model import Model

SHORTEST, LONGEST, START, END = 8, 20, 49_406, 49_407
WAYS = ("ours bf16", "ours fp32", "peer fp32", "peer bf16")


def batch(rows: int, size: int, context: int, config: object) -> tuple[dict, Tensor, Tensor]:
    """The same records twice: ours (bytes, tokens and mask) and the peer's (normalised pictures, padded tokens)."""
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (rows, 3, size, size), generator=chance, dtype=torch.uint8)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (rows,), generator=chance)
    tokens = torch.randint(1, START, (rows, context), generator=chance)
    places = torch.arange(context)
    tokens[:, 0] = START
    tokens[torch.arange(rows), lengths - 1] = END
    tokens[places >= lengths[:, None]] = 0
    longest = int(lengths.max())
    text = {"tokens": tokens[:, :longest].clone(), "mask": (places < lengths[:, None])[:, :longest]}
    ours = {"image": {"pixels": pixels, "mask": torch.ones(rows, 1, dtype=torch.bool)}, "text": text}
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (config.image.mean, config.image.std))
    return ours, (pixels.float() / 255 - mean) / std, tokens


def contrastive(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss of unit-length embeddings [B, E], as open_clip's ClipLoss has it; `scale` is the factor."""
    logits = scale * image @ text.T
    rows = torch.arange(len(image))
    return (nn.functional.cross_entropy(logits, rows) + nn.functional.cross_entropy(logits.T, rows)) / 2


def peers_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """As open_clip_train.main makes it: no weight decay for gains and biases."""
    named = list(model.named_parameters())
    plain = [value for name, value in named if value.ndim < 2 or "bn" in name or "ln" in name or "bias" in name]
    rest = [value for value in model.parameters() if not any(value is other for other in plain)]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.2}]
    return torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), eps=1e-6)


def our_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """The same rule, fused."""
    plain = [value for value in model.parameters() if value.ndim < 2]
    rest = [value for value in model.parameters() if value.ndim >= 2]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.2}]
    return torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), eps=1e-6, fused=True)


def sides(name: str, rows: int) -> tuple[Model, nn.Module, Callable[[], Tensor], Callable[[], Tensor]]:
    """Our model and the peer's with the same weights, and for each a function that gives its loss."""
    torch.manual_seed(0)
    config = preset(name)
    ours, peer = clip(config), open_clip.create_model(name)
    fill(ours, open_clip_weights(config, False), dict(peer.state_dict()), "the peer")
    inputs, pictures, tokens = batch(rows, config.image.size, config.text.context, config)

    def our_loss() -> Tensor:
        features = ours.encode(inputs)
        embeddings = [ours.embedding(side, features[side]) for side in ("image", "text")]
        with torch.autocast("cpu", enabled=False):  # our similarities are fp32 at any precision
            return contrastive(*embeddings, ours.logit_scale.exp())

    return ours.train(), peer.train(), our_loss, lambda: contrastive(*peer(pictures, tokens))


def gradients(model: nn.Module, loss: Callable[[], Tensor], bf16: bool) -> Tensor:
    """Leaves the gradients in the model; gives the loss."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        value = loss()
    value.backward()
    return value.detach()


def agreement(name: str, ours: Model, peer: nn.Module, our_loss: Callable, peer_loss: Callable) -> None:
    """Prints how far losses and gradients are apart; relative to the length of the peer's fp32 gradient."""
    config = preset(name)
    weights = open_clip_weights(config, False)
    kept: dict[str, Tensor] = {}
    for way, model, loss in (("peer", peer, peer_loss), ("ours", ours, our_loss)):
        for bf16 in (False, True):
            value = gradients(model, loss, bf16)
            kept[f"{way} {'bf16' if bf16 else 'fp32'}"] = _line(model, weights)
            print(f"loss {way} {'bf16' if bf16 else 'fp32'}: {value.item():.7f}")
        model.zero_grad()
    length = kept["peer fp32"].norm()
    for one, other in (("ours fp32", "peer fp32"), ("ours bf16", "ours fp32"), ("peer bf16", "peer fp32")):
        print(f"gradient {one} against {other}: {((kept[one] - kept[other]).norm() / length).item():.2e} of its length")


def _line(model: nn.Module, weights: list) -> Tensor:
    """All gradients as one vector, in the peer's order."""
    if isinstance(model, Model):
        twin = {name: value.grad for name, value in model.named_parameters()}
        found = publish_gradients(model, twin, weights)
        return torch.cat([found[name].flatten() for name in sorted(found)])
    return torch.cat([value.grad.flatten() for _, value in sorted(model.named_parameters())])


def publish_gradients(model: Model, found: dict[str, Tensor], weights: list) -> dict[str, Tensor]:
    """Our gradients under the peer's names and in its shapes."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(found[name])
        moved = publish(model, weights)
        for name, value in model.named_parameters():
            value.copy_(before[name])
    return moved


def main() -> None:
    """Prints the agreement, a line a round, then medians, ratios and their spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--preset", default="ViT-B-32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ours, peer, our_loss, peer_loss = sides(options.preset, options.batch)
    agreement(options.preset, ours, peer, our_loss, peer_loss)
    optimizers = {"ours": our_optimizer(ours), "peer": peers_optimizer(peer)}
    clock = time.process_time if options.threads == 1 else time.perf_counter
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(options.rounds + 1):
        for way in WAYS:
            side, precision = way.split()
            model, loss = (ours, our_loss) if side == "ours" else (peer, peer_loss)
            began = clock()
            gradients(model, loss, precision == "bf16")
            optimizers[side].step()
            taken[way].append(clock() - began)
        if turn:  # the first round sets up the optimisers' state
            print("  ".join(f"{way} {times[-1]:.2f} s" for way, times in taken.items()), flush=True)
    report({way: times[1:] for way, times in taken.items()}, options.threads)


def report(taken: dict[str, list[float]], threads: int) -> None:
    """Medians, and the median and spread of the ratios round by round."""
    what = "process time, one thread" if threads == 1 else f"wall time, {threads} threads"
    print(f"\n{what}, median of {len(taken[WAYS[0]])} rounds: ", end="")
    print(", ".join(f"{way} {statistics.median(times):.2f} s" for way, times in taken.items()))
    for ours, peer in (("ours bf16", "peer fp32"), ("ours bf16", "peer bf16"), ("ours fp32", "peer fp32")):
        ratios = [theirs / own for own, theirs in zip(taken[ours], taken[peer], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{ours} is {statistics.median(ratios):.2f} times as fast as {peer} ({spread})")


if __name__ == "__main__":
    main()
