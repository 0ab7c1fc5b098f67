"""Emoji found by name, as an artist never seen draws them, by embeddings alone and with the best ranked anew by the
matching head: `sensorium.pretrain("albef", ...)` on two artists, tested on a third.

    python benchmarks/emoji_reranking.py FOLDER_OF_EMOJI [--best 16] [--epochs 60] [--seeds 1]

FOLDER_OF_EMOJI is as in emoji_retrieval.py. Trained on Noto and Twemoji, tested on OpenMoji: 1,585 names and as many
pictures. The picture's encoder is EfficientNet-lite0, frozen, several views of every picture kept; the name's is
learned from nothing. Prints, a line a seed, direction and metric, recall at 1 and 10 and mean average precision without
and with ranking anew, and the difference with its paired 95 % interval over emoji. Floor: recall at 1 is in neither
direction worse by more than chance explains; goal: better in both.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

import sensorium
from emoji_retrieval import ARTIST, ARTISTS, records
from sensorium.evaluation.retrieval import Retrieved, evaluate_retrieval
from sensorium.runs.demo import pretrained

SHOWN = ("recall@1", "recall@10", "mean_average_precision")


def recipe(epochs: int) -> dict[str, Any]:
    """Frozen features of pictures in several views, and BERT's layers from nothing over names and over both."""
    picture = pretrained()["picture"]
    picture = picture | {"config": picture["config"] | {"size": 128, "augmentation": ARTIST}, "views": 2}
    return {
        "data": {"validation": 0.05},
        "inputs": {
            "picture": picture,
            "name": {"config": {"width": 128, "depth": 2, "heads": 2, "augmentation": {"rate": 0.1}}},
        },
        "family": {"dim": 256, "queue": 1024},
        "training": {
            "epochs": epochs, "batch_size": 128, "learning_rate": 1e-3, "keep": "last", "refit": False, "workers": 1,
        },
    }  # fmt: skip


def outcome(source: Path, settings: dict[str, Any], best: int, seed: int) -> tuple[list[Retrieved], float]:
    """What the third artist's emoji find, by direction, and the seconds of training."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        records(source, ARTISTS[:2], "en", root).to_csv(root / "pairs.csv", index=False)
        began = time.monotonic()
        run = sensorium.pretrain(
            "albef", root / "pairs.csv", root / "run", recipe=settings, image="picture", text="name", group="emoji",
            seed=seed, quiet=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
        records(source, ARTISTS[2:], "en", root).to_csv(root / "test.csv", index=False)
        test = sensorium.read(root / "test.csv", schema=run.model.schema)
        return evaluate_retrieval(run.model, test, rerank=best).directions, seconds


def main() -> None:
    """Prints the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--best", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="NAME.NAME=VALUE, a setting of the recipe")
    arguments = parser.parse_args()
    settings = recipe(arguments.epochs)
    for one in arguments.set:
        name, _, value = one.partition("=")
        *place, last = name.split(".")
        inner = settings
        for key in place:
            inner = inner.setdefault(key, {})
        inner[last] = yaml.safe_load(value)
    gains = []
    for seed in range(arguments.seeds):
        found, seconds = outcome(arguments.source, settings, arguments.best, seed)
        print(f"seed {seed}: {seconds:.0f} s")
        for one in found:
            print(f"  {one.name}, {one.queries:,} queries, {one.items:,} items")
            for metric in SHOWN:
                before, after, gain = (part[metric] for part in (one.metrics, one.reranked.metrics, one.reranked.gain))
                print(
                    f"    {metric:24s} {before.value:.3f} -> {after.value:.3f}   {gain.value:+.3f}"
                    f" [{gain.low:+.3f}, {gain.high:+.3f}]   chance {before.chance:.4f}",
                    flush=True,
                )
            gains.append(one.reranked.gain["recall@1"])
    print(f"floor, not worse: {all(gain.high >= 0 for gain in gains)}; goal, better: {all(g.low > 0 for g in gains)}")


if __name__ == "__main__":
    main()
