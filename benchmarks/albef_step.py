"""One pre-training step of ALBEF, ours against a plain statement of the published algorithm: time, agreement.

    python benchmarks/albef_step.py [--rounds 7] [--threads 1] [--batch 4 8] [--depth 6] [--layers 6] [--fusion 3]

A step is the three losses with teacher and queue, backward, AdamW and the teacher's move. Pictures of 224 pixels,
captions of 14 to 22 tokens, 30,522 words, a queue of 65,536 pairs, no dropout. Both sides start from the same weights
and take the same pictures, tokens and masked words. Ours runs at our defaults (bf16 autocast, fused AdamW) and in fp32;
the peer (albef_plain.py) as published (fp32) and at our precision, its optimiser unfused. The four alternate within a
round. With one thread the time is the process's own, with more it is the wall's. Losses and gradients are compared in
fp32, where each side takes the likeliest other instead of drawing one.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from benchmarks.albef_plain import IGNORED, Albef
from torch import Tensor

from sensorium.encoders.bert_text import BertTextConfig
from sensorium.encoders.clip_image import ClipImageConfig
from sensorium.families.albef import AlbefConfig, albef, objectives
from sensorium.families.albef_weights import fronts, weights
from sensorium.families.weights import published
from sensorium.features import Batch
from sensorium.model import Model
from sensorium.objectives.momentum import Momentum, Queue
from sensorium.training.learner import Learner
from sensorium.training.optimizer import optimizer
from sensorium.training.settings import TrainingSettings

SIZE, WIDTH, WORDS, PLACES, QUEUE, ALPHA, SHORTEST, LONGEST, MASK = 224, 768, 30_522, 64, 65_536, 0.4, 14, 22, 103
WAYS = ("ours bf16", "ours fp32", "peer fp32", "peer bf16")


def batch(rows: int, model: Model) -> tuple[Batch, tuple[Tensor, ...]]:
    """The same records twice: ours, and the peer's (normalised pictures, tokens, mask, masked tokens, labels)."""
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (rows, 3, SIZE, SIZE), generator=chance, dtype=torch.uint8)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (rows,), generator=chance)
    real = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.randint(1000, WORDS, real.shape, generator=chance) * real
    hidden = (torch.rand(real.shape, generator=chance) < 0.15) & real
    hidden[:, 0], hidden[0, 1] = False, True
    masked, labels = torch.where(hidden, MASK, tokens), torch.where(hidden, tokens, IGNORED)
    config = model.encoders["image"].config
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (config.mean, config.std))
    inputs = {
        "image": {"pixels": pixels, "mask": torch.ones(rows, 1, dtype=torch.bool)},
        "text": {"tokens": tokens, "mask": real},
        "text/masked": {"tokens": masked, "mask": real, "labels": labels},
    }
    ids = torch.arange(rows)
    ours = Batch(inputs, {}, {"image": ids, "text": ids}, [str(row) for row in range(rows)])
    return ours, ((pixels.float() / 255 - mean) / std, tokens, real.float(), masked, labels)


def ours(depth: int, layers: int, fusion: int) -> tuple[Learner, Momentum, Queue]:
    """Our model with a teacher that is not quite it and a full queue, to be trained."""
    torch.manual_seed(0)
    image = ClipImageConfig(
        size=SIZE, patch=16, width=WIDTH, depth=depth, heads=12, pre_norm=False, patch_bias=True, eps=1e-6,
        augmentation=None,
    )  # fmt: skip
    text = BertTextConfig(
        vocabulary=WORDS, context=PLACES, width=WIDTH, depth=layers - fusion, heads=12, kinds=2, dropout=0.0
    )
    model = albef(AlbefConfig(image=image, text=text, fusion_layers=fusion))
    teacher, queue = Momentum(model, alpha=ALPHA), Queue(QUEUE, 256)
    for name, _ in model.named_parameters():
        value = teacher.model.get_buffer(name)
        value.add_(torch.randn_like(value) * 0.01 * value.std(unbiased=False))
    pairs = torch.nn.functional.normalize(torch.randn(2, QUEUE, 256), dim=2)
    queue.push(*pairs, *(-1 - torch.arange(QUEUE) for _ in range(2)))
    return Learner(model, objectives(teacher, queue)).train(), teacher, queue


def theirs(learner: Learner, teacher: Momentum, queue: Queue, sizes: tuple[int, int, int]) -> Albef:
    """The peer with the same weights."""
    depth, layers, fusion = sizes
    peer = Albef(SIZE, WIDTH, depth, WORDS, PLACES, layers, fusion, QUEUE)
    model = learner.model
    state = model.state_dict() | {f"teacher.{name}": value for name, value in teacher.state_dict().items()}
    table = weights(model) + weights(model, teacher=True)
    known = published(state, table, fronts(model)) | {"image_queue": queue.a.T.clone(), "text_queue": queue.b.T.clone()}
    known["temp"] = (-known["temp"]).exp()
    found = peer.load_state_dict(known, strict=False)
    strange = [name for name in found.unexpected_keys if not name.endswith("cls.predictions.bias")]
    if found.missing_keys or strange:
        raise SystemExit(f"the peer has not all weights: {found.missing_keys[:3]} {strange[:3]}")
    return peer.train()


def our_losses(learner: Learner, records: Batch) -> dict[str, Tensor]:
    """By name the mean of each."""
    return {name: loss.total / loss.count for name, loss in learner(records).items()}


def agreement(learner: Learner, peer: Albef, records: Batch, same: tuple[Tensor, ...]) -> None:
    """Prints how far losses and gradients are apart in fp32, relative to the length of the peer's."""
    learner.eval()
    likeliest = lambda chances: int(chances.argmax())  # noqa: E731
    own = our_losses(learner, records)
    other = peer.losses(*same, ALPHA, likeliest)
    for (name, one), two in zip(own.items(), other, strict=True):
        print(f"loss {name}: ours {one.item():.6f}, peer {two.item():.6f}, apart {abs(one / two - 1).item():.1e}")
    sum(own.values()).backward()
    sum(other).backward()
    model, table = learner.model, weights(learner.model)
    gradients = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    gradients |= {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    found = published(gradients, table, fronts(model))
    found["temp"] = -found["temp"] / peer.temp.detach()
    pairs = [(found[name], value.grad) for name, value in peer.named_parameters() if value.grad is not None]
    mine, their = (torch.cat([one.flatten() for one in side]) for side in zip(*pairs, strict=True))
    # A bias of keys moves no softmax: its gradient is rounding alone.
    worst = max((a - b).norm() / b.norm() for a, b in pairs if b.norm() > 1e-6 * their.norm())
    print(f"gradient: {(mine - their).norm() / their.norm():.1e} of its length apart; the worst parameter {worst:.1e}")
    learner.zero_grad(set_to_none=True)
    peer.zero_grad(set_to_none=True)
    learner.train()


def steps(learner: Learner, peer: Albef, records: Batch, same: tuple[Tensor, ...]) -> dict[str, Callable[[], None]]:
    """By way, one whole step."""
    own = optimizer(learner, TrainingSettings(learning_rate=1e-5), {})
    moving = [value for value in peer.parameters() if value.requires_grad]
    other = torch.optim.AdamW(moving, lr=1e-5, weight_decay=0.02, foreach=False, fused=False)

    def one(precision: str) -> None:
        learner.precision = precision
        sum(our_losses(learner, records).values()).backward()
        own.step()
        own.zero_grad(set_to_none=True)
        learner.post_step()

    def two(precision: str) -> None:
        peer.follow()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = sum(peer.losses(*same, ALPHA, lambda chances: int(torch.multinomial(chances, 1))))
        loss.backward()
        other.step()
        other.zero_grad(set_to_none=True)

    sides = {"ours": one, "peer": two}
    return {way: lambda way=way: sides[way.split()[0]](way.split()[1]) for way in WAYS}


def main() -> None:
    """Prints the agreement, a line a round, then medians, ratios and their spread, for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--fusion", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = (options.depth, options.layers, options.fusion)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    what = "process time, one thread" if options.threads == 1 else f"wall time, {options.threads} threads"
    for rows in options.batch:
        learner, teacher, queue = ours(*sizes)
        peer = theirs(learner, teacher, queue, sizes)
        records, same = batch(rows, learner.model)
        print(f"batch {rows}")
        agreement(learner, peer, records, same)
        taken: dict[str, list[float]] = {way: [] for way in WAYS}
        each = steps(learner, peer, records, same)
        for turn in range(options.rounds + 1):
            for way in WAYS:
                began = clock()
                each[way]()
                taken[way].append(clock() - began)
            if turn:  # the first round sets up the optimisers' state
                print("  ".join(f"{way} {times[-1]:.2f} s" for way, times in taken.items()), flush=True)
        report({way: times[1:] for way, times in taken.items()}, f"batch {rows}, {what}")


def report(taken: dict[str, list[float]], what: str) -> None:
    """Medians, and the median and spread of the ratios round by round."""
    print(f"{what}, median of {len(taken[WAYS[0]])} rounds: ", end="")
    print(", ".join(f"{way} {statistics.median(times):.2f} s" for way, times in taken.items()))
    for mine, peer in (("ours bf16", "peer fp32"), ("ours bf16", "peer bf16"), ("ours fp32", "peer fp32")):
        ratios = [theirs / own for own, theirs in zip(taken[mine], taken[peer], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{mine} is {statistics.median(ratios):.2f} times as fast as {peer} ({spread})")


if __name__ == "__main__":
    main()
