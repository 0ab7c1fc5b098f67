"""For the bits: runs that an older version began and this one ends, against runs that the older one did alone.

    python benchmarks/old_runs.py [--old DIR] [--commit 34915b2] [--runs fit clip albef]

Takes a checkout of the older version at DIR; without it, makes a git worktree of the commit in a temporary folder. On a
made-up table (a picture, the same through a frozen encoder, a text, a number, a category, some of them absent) the old
version does a fit of two targets, a `pretrain clip` and a `pretrain albef`, undisturbed, on the CPU with one thread.
Then each is done again in three ways: begun by the old version, stopped by Ctrl-C in its second epoch or later, and
resumed by this one; the same with kill -9 in the place of Ctrl-C; and from the start by this version.

Prints a line each: how many tensors of the saved model, its teacher and its queue there are, how many of them are equal
in every bit, and whether the log, the metrics and the scores are equal, times left out. Exits with 1 when anything is
not.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[1]
COMMIT = "34915b2"
PATIENCE = 300  # seconds that a run may take
COLOURS = {"red": (230, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "yellow": (230, 220, 20)}
COLOURS |= {"white": (240, 240, 240), "black": (10, 10, 10), "pink": (240, 20, 220)}

TRAINING = {"epochs": 4, "batch_size": 8, "device": "cpu", "workers": 0, "checkpoint_seconds": 0.0}
FROZEN = {"encoder": "timm", "config": {"model": "test_resnet", "weights": "weights.safetensors", "size": 16}}
TOWER = {"size": 16, "patch": 4, "width": 32, "depth": 1, "heads": 2, "patch_dropout": 0.5}
WORDS = {"width": 32, "depth": 1, "heads": 2, "augmentation": {"rate": 0.2}}
RECIPES: dict[str, dict[str, Any]] = {
    "fit": {
        "data": {
            "path": "records.csv",
            "inputs": ["photo", "thumb", "caption", "price", "shop"],
            "columns": {"caption": "text"},
            "target": {"kind": "class", "score": "number"},
            "test": 0.2,
        },
        "inputs": {
            "photo": {"encoder": "image_conv", "config": {"width": 32, "depth": 1}},
            "thumb": FROZEN,
            "caption": {"encoder": "text", "config": {"width": 32, "depth": 1, "heads": 2}},
        },
        "training": TRAINING,
    },
    "clip": {
        "data": {
            "path": "records.csv",
            "inputs": ["photo", "thumb", "caption"],
            "columns": {"caption": "text"},
            "test": 0.2,
        },
        "inputs": {
            "photo": {"encoder": "clip_image", "config": TOWER},
            "thumb": FROZEN,
            "caption": {"encoder": "clip_text", "config": WORDS},
        },
        "training": TRAINING,
    },
    "albef": {
        "data": {
            "path": "records.csv",
            "inputs": ["photo", "caption"],
            "columns": {"photo": "image", "caption": "text"},
            "test": 0.2,
        },
        "inputs": {
            "photo": {"encoder": "clip_image", "config": TOWER},
            "caption": {"encoder": "bert_text", "config": WORDS},
        },
        "family": {"name": "albef", "queue": 24},
        "training": TRAINING,
    },
}
WAYS = {"Ctrl-C": signal.SIGINT, "kill -9": signal.SIGKILL, "from the start": None}


class Outcome(NamedTuple):
    """What a run left: its tensors by file and name, and by file all else, without times."""

    tensors: dict[str, torch.Tensor]
    rest: dict[str, Any]


def make(folder: Path) -> None:
    """Writes records.csv (49 records, a few cells absent), the pictures, the weights of the frozen encoder, recipes."""
    chance = np.random.default_rng(0)
    rows = []
    for left, right in product(COLOURS, COLOURS):
        pixels = np.empty((16, 16, 3))
        pixels[:, :8], pixels[:, 8:] = COLOURS[left], COLOURS[right]
        pixels += chance.normal(0, 6, pixels.shape)
        name = f"{left}-{right}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        price = chance.uniform(2, 12)
        rows.append(
            {
                "photo": name,
                "thumb": name,
                "caption": f"{left} beside {right}",
                "price": price,
                "shop": ("north", "south", "west")[int(chance.integers(3))],
                "kind": "warm" if left in ("red", "yellow", "pink") else "cold",
                "score": price + len(left) + chance.normal(),
            }
        )
    table = pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)
    for offset, column in enumerate(("photo", "thumb", "caption", "price", "score")):
        table.loc[offset::9, column] = None
    table.to_csv(folder / "records.csv", index=False)
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "weights.safetensors")
    for name, recipe in RECIPES.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


@contextmanager
def checkout(stated: Path | None, commit: str) -> Iterator[Path]:
    """The folder of the older version: the stated one, or a worktree of the commit that is gone afterwards."""
    if stated is not None:
        yield stated.resolve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "old"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def start(code: Path, folder: Path, run: str, out: str, resume: bool = False) -> subprocess.Popen:
    """Starts a run of the version in `code`, in the folder of the table."""
    verb = ["fit"] if run == "fit" else ["pretrain", run]
    command = [sys.executable, "-m", "sensorium.cli", *verb, "--recipe", f"{run}.yaml", "--out", out]
    environment = os.environ | {"PYTHONPATH": str(code / "src"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [*command, *(["--resume"] if resume else [])],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen, code: int = 0) -> None:
    """Waits for its end. Raises RuntimeError, with what it wrote to standard error, when its exit code is another."""
    _, errors = process.communicate(timeout=PATIENCE)
    if process.returncode != code:
        raise RuntimeError(f"A run ended with the exit code {process.returncode}, not {code}:\n{errors}")


def stop(process: subprocess.Popen, run: Path, way: signal.Signals) -> None:
    """Stops a run once the first of its epochs is saved. Raises RuntimeError when it ended before."""
    end = time.monotonic() + PATIENCE
    while epochs_saved(run) < 1 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
    process.send_signal(way)
    finish(process, 130 if way == signal.SIGINT else -way)
    if (run / "metrics.json").exists():
        raise RuntimeError(f"{run} had ended before it was stopped; give it more epochs.")


def epochs_saved(run: Path) -> int:
    """How many whole epochs the state that a run saved last has behind it."""
    try:
        return json.loads((run / "last" / "position.json").read_text())["epoch"]
    except (FileNotFoundError, json.JSONDecodeError):  # not yet, or being replaced
        return 0


def outcome(run: Path) -> Outcome:
    """What a run left, without times."""
    tensors = {
        f"{path.name} {name}": tensor
        for path in sorted((run / "model").glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }
    with open(run / "log.csv", newline="") as file:
        log = [{name: value for name, value in line.items() if name != "seconds"} for line in csv.DictReader(file)]
    metrics = json.loads((run / "metrics.json").read_text())
    metrics.pop("cost", None)
    return Outcome(tensors, {"log": log, "metrics": metrics, "scores": pd.read_parquet(run / "scores.parquet")})


def equal_tensors(actual: Outcome, expected: Outcome) -> int:
    """How many tensors have the same name, type, shape and bits in both."""
    shared = actual.tensors.keys() & expected.tensors
    return sum(same_bits(actual.tensors[name], expected.tensors[name]) for name in shared)


def same_bits(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two tensors are the same, a NaN or a negative zero included."""
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return False
    return torch.equal(*(tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (actual, expected)))


def same(actual: Any, expected: Any) -> bool:
    """Whether a log, metrics or a table of scores are equal."""
    return actual.equals(expected) if isinstance(actual, pd.DataFrame) else repr(actual) == repr(expected)


def compared(what: str, actual: Outcome, expected: Outcome) -> bool:
    """Prints a line; whether all is equal."""
    equal = equal_tensors(actual, expected)
    total = len(actual.tensors.keys() | expected.tensors)
    differs = [name for name in expected.rest if not same(actual.rest[name], expected.rest[name])]
    print(f"{what:24}  {total:7}  {equal:5}  {', '.join(differs) or 'nothing'}", flush=True)
    return equal == total and not differs


def main() -> int:
    """Prints a line a run and a way; 1 when anything differs, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="folder of a checkout of the older version")
    parser.add_argument("--commit", default=COMMIT, help="the older version, where --old is not given")
    parser.add_argument("--runs", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    equal = True
    with tempfile.TemporaryDirectory() as temporary, checkout(arguments.old, arguments.commit) as old:
        folder = Path(temporary)
        make(folder)
        print(f"{'run':24}  tensors  equal  differs besides", flush=True)
        for run in arguments.runs:
            finish(start(old, folder, run, f"{run}-old"))
            expected = outcome(folder / f"{run}-old")
            for way, sent in WAYS.items():
                out = f"{run}-{way}".replace(" ", "-")
                if sent is not None:
                    stop(start(old, folder, run, out), folder / out, sent)
                finish(start(ROOT, folder, run, out, resume=sent is not None))
                equal &= compared(f"{run}, {way}", outcome(folder / out), expected)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
