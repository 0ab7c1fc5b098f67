"""A small table of pictures, sounds and numbers, and runs of `fit` and `pretrain` in processes that can be killed."""

import csv
import json
import multiprocessing
import os
import time
import wave
from collections.abc import Callable
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from sensorium.model import Model
from sensorium.runs import pipeline, run
from sensorium.tasks import contrastive as pretraining
from sensorium.tasks import supervised
from sensorium.training import loop
from sensorium.training.cache import CacheJob

RATE = 4000  # hertz
PATIENCE = 100  # seconds

# What a run leaves that holds times.
TIMED = ("metrics.json", "position.json", "log.csv")

# What a run says before it does it: (where, attribute, the stage it belongs to).
STAGES = [
    (pipeline, "scan_records", "scan"),
    (pipeline, "initial_model", "start"),
    (CacheJob, "fill", "cache"),
    (CacheJob, "_commit", "cache"),
    (loop.Training, "_optimise", "training"),
    (loop.Training, "_end_epoch", "training"),
    (loop, "save_state", "checkpoint"),
    (supervised, "calibrate", "evaluation"),
    (supervised, "evaluate_targets", "evaluation"),
    (pretraining, "retrieval_report", "evaluation"),
    (Model, "save", "saving"),
    (pipeline, "discard", "saving"),
]


def make(folder: Path, records: int, size: int = 32) -> dict[str, Any]:
    """Writes records.csv, its pictures (`size` pixels a side) and sounds, and weights; gives the arguments of `fit`.

    The picture goes through a frozen encoder, so that its features are cached; the sound and the number are learned
    from scratch, with augmentation and dropout. Some records lack an input, some a target.
    """
    generator = np.random.default_rng(0)
    label = generator.integers(3, size=records)
    for index in range(records):
        pixels = generator.integers(0, 256, (size, size, 3), dtype=np.uint8)
        pixels[..., label[index]] //= 2
        Image.fromarray(pixels).save(folder / f"{index}.png")
        _sound(folder / f"{index}.wav", 300 * (1 + label[index]), generator)
    table = pd.DataFrame(
        {
            "picture": [f"{index}.png" for index in range(records)],
            "sound": [f"{index}.wav" for index in range(records)],
            "number": label + generator.normal(size=records),
            "colour": np.array(["red", "green", "blue"])[label],
            "amount": 10 * label + generator.normal(size=records),
        }
    )
    for column in ("sound", "number", "amount"):
        table.loc[generator.random(records) < 0.15, column] = None
    table.to_csv(folder / "records.csv", index=False)
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "weights.safetensors")
    picture = {"model": "test_resnet", "weights": str(folder / "weights.safetensors"), "size": size}
    sound = {"channels": 4, "width": 16, "bands": 8}
    return {
        "records": folder / "records.csv",
        "recipe": {
            "data": {"target": {"colour": "class", "amount": "number"}, "test": 0.15},
            "inputs": {
                "picture": {"encoder": "timm", "config": picture},
                "sound": {"encoder": "audio_conv", "config": sound},
            },
            "training": {"epochs": 3, "batch_size": 32, "pieces": 2, "checkpoint_seconds": 0.0, "workers": 0},
        },
    }


def _sound(path: Path, pitch: float, generator: np.random.Generator) -> None:
    clock = np.arange(RATE // 5) / RATE
    samples = 0.5 * np.sin(2 * np.pi * pitch * clock) + generator.normal(0, 0.1, len(clock))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())


class Journey:
    """A `fit`, or with a `family` among its arguments a `pretrain`, in a process of its own, in a process group of its
    own, that says what it is about to do.

    The processes are forked from one that has imported everything and has done nothing, so that each starts at once.
    """

    def __init__(self, out: Path, arguments: dict[str, Any], resume: bool = False):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._hears, says = context.Pipe(duplex=False)
        self.process = context.Process(target=_fit, args=(out, arguments, resume, says))
        self.process.start()
        says.close()

    def said(self) -> tuple[float, str] | None:
        """The next thing it is about to do: (seconds since some moment, stage). None when it and its workers ended.

        Raises TimeoutError when it neither says anything nor ends.
        """
        if not self._hears.poll(PATIENCE):
            raise TimeoutError(f"nothing was heard of a run for {PATIENCE} seconds")
        try:
            return self._hears.recv()
        except EOFError:
            return None

    def kill(self) -> None:
        """kill -9, of this process alone."""
        self.process.kill()
        self.process.join()

    def finish(self) -> list[tuple[float, str]]:
        """Waits for its end; gives all that it said and had not been heard."""
        heard = []
        while (one := self.said()) is not None:
            heard.append(one)
        self.process.join()
        return heard


def left_running(group: int) -> list[int]:
    """The processes of a process group that are still there, such as workers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, theirs = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(theirs) == group and state != "Z":
            found.append(int(entry.name))
    return found


def wait_for(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Looks again and again until `holds()`; fails with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run leaves, less its times: by file, its bytes or what it holds; of the report, which draws the times
    too, that it is there."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    there = {name: "there" for name, path in files.items() if path.name == "report.html"}
    return there | {
        name: _untimed(path) if path.name in TIMED else path.read_bytes()
        for name, path in files.items()
        if name not in there
    }


def _untimed(path: Path) -> str:
    """The text of `path` without seconds and latency."""
    if path.suffix == ".csv":
        with open(path) as file:
            rows = list(csv.DictReader(file))
        return str([{key: value for key, value in row.items() if key != "seconds"} for row in rows])
    held = json.loads(path.read_text())
    if "cost" in held:
        held["cost"] = held["cost"]["parameters"]
    for timed in (held, *held.get("log", [])):
        timed.pop("seconds", None)
    return str(held)


def check_same(one: Path, two: Path, what: str) -> None:
    """Fails, saying `what`, unless two runs left the same and neither left anything half-written."""
    first, second = outcome(one), outcome(two)
    assert first.keys() == second.keys(), (what, sorted(first.keys() ^ second.keys()))
    assert not [name for name in first if first[name] != second[name]], what
    assert not [*one.rglob(".*"), *two.rglob(".*")], what


def _fit(out: Path, arguments: dict[str, Any], resume: bool, says: Connection) -> None:
    os.setsid()
    torch.set_num_threads(1)
    for place, name, stage in STAGES:
        setattr(place, name, _announced(getattr(place, name), stage, says))
    verb = run.pretrain if "family" in arguments else run.fit
    verb(**arguments, out=out, resume=resume, quiet=True)


def _announced(function: Callable, stage: str, says: Connection) -> Callable:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        says.send((time.monotonic(), stage))
        return function(*args, **kwargs)

    return wrapper
